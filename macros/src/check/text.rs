//! Tokens as a person would write them, for messages.

use quote::ToTokens;

/// Returns the source text of tokens, without the spaces that `TokenStream` puts everywhere.
pub(super) fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (spaced, tight) in TIGHT {
        text = text.replace(spaced, tight);
    }
    text
}

const TIGHT: &[(&str, &str)] = &[
    (" :: ", "::"),
    (":: ", "::"),
    (" < ", "<"),
    ("< ", "<"),
    (" >", ">"),
    ("> >", ">>"),
    ("& ", "&"),
    (" ,", ","),
    ("( ", "("),
    (" )", ")"),
    ("[ ", "["),
    (" ]", "]"),
    (" ;", ";"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_as_they_are_written() {
        for written in [
            "BTreeMap<String, u32>",
            "&str",
            "std::borrow::Cow<'static, [u8; 4]>",
        ] {
            let ty: syn::Type = syn::parse_str(written).expect("the test wrote a type");
            assert_eq!(text(&ty), written);
        }
    }
}
