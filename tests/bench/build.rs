//! Writes tonic's client and server from a description in Rust: no protobuf compiler is needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::remote::tonic::Message")
            .output_type("crate::remote::tonic::Message")
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Answers")
        .package("bench")
        .method(method("echo", "Echo").build())
        .method(method("put", "Put").build())
        .method(
            method("stream", "Stream")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .build();
    Builder::new().compile(&[service]);
}
