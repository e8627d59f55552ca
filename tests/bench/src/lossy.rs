//! A link that loses packets, the same for UDP and TCP: two network namespaces joined by two TUN
//! devices, with a relay between them that drops by a seeded generator.
//!
//! ```text
//! server's namespace ── TUN <── relay, drops ──> TUN ── load's namespace
//! ```
//!
//! It works on whole IP packets of at most 1500 bytes: the kernel segments before a TUN device what
//! it would hand over in one piece on loopback. It needs root, `ip` and `/dev/net/tun`.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::child::Place;

/// The link. It is taken down when this is dropped.
#[derive(Debug)]
pub(crate) struct Lossy {
    namespaces: [String; 2],
}

impl Lossy {
    /// Puts the link up. Of a thousand packets each way it loses `permille`.
    ///
    /// # Errors
    /// What is missing to do so.
    pub(crate) fn open(permille: u32, seed: u64) -> Result<Self, Box<dyn Error>> {
        let own = std::process::id();
        let link = Self {
            namespaces: ["a", "b"].map(|side| format!("callboard-bench-{own}-{side}")),
        };
        let [server, load] = &link.namespaces;
        let first = Arc::new(device(server, &format!("cb{own}a"), SERVER, LOAD)?);
        let second = Arc::new(device(load, &format!("cb{own}b"), LOAD, SERVER)?);
        relay(Arc::clone(&first), Arc::clone(&second), permille, seed);
        relay(second, first, permille, seed + 1);
        Ok(link)
    }

    /// Where server and load have to be.
    pub(crate) fn place(&self) -> Place {
        Place {
            ip: IpAddr::V4(SERVER),
            namespaces: Some(self.namespaces.clone()),
        }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        for name in &self.namespaces {
            // One that was not made cannot be removed. The devices in it go with it, and with them
            // the relay's threads end.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Makes a namespace with a device in it.
fn device(
    namespace: &str,
    name: &str,
    own: Ipv4Addr,
    other: Ipv4Addr,
) -> Result<SyncDevice, Box<dyn Error>> {
    ip(&format!("netns add {namespace}"))?;
    let device = DeviceBuilder::new().name(name).mtu(1500).build_sync()?;
    ip(&format!(
        "link set dev {name} txqueuelen 10000 netns {namespace}"
    ))?;
    ip(&format!(
        "-n {namespace} addr add {own} peer {other} dev {name}"
    ))?;
    ip(&format!("-n {namespace} link set dev {name} up"))?;
    ip(&format!("-n {namespace} link set dev lo up"))?;
    Ok(device)
}

fn ip(arguments: &str) -> Result<(), Box<dyn Error>> {
    let done = Command::new("ip").args(arguments.split(' ')).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("ip {arguments}: {}", said.trim()).into())
}

/// Carries packets one way until a device is gone.
fn relay(from: Arc<SyncDevice>, to: Arc<SyncDevice>, permille: u32, seed: u64) {
    thread::spawn(move || {
        let mut packet = [0; 2048];
        let mut state = seed;
        while let Ok(len) = from.recv(&mut packet) {
            // A full queue on the other side loses the packet too, as a network does.
            if next(&mut state) % 1000 >= u64::from(permille) && to.send(&packet[..len]).is_err() {
                return;
            }
        }
    });
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// From the range for benchmarks (RFC 2544, appendix C.2.2).
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const LOAD: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
