//! C symbols that make chance and time a function of the seed.
//!
//! | symbol | who asks it | answer once armed |
//! | --- | --- | --- |
//! | `getrandom` | std (`HashMap` keys), `getrandom` 0.3 and later | the seeded generator |
//! | `syscall(SYS_getrandom)` | ring, `getrandom` 0.2 | the seeded generator |
//! | `clock_gettime` | `SystemTime::now`, `Instant::now` | simulated time |
//!
//! Everything else `syscall` is asked for, and every clock that measures processor time, goes on to
//! the C library. Nothing is replaced before [`arm`] is called, which only the process of one seed
//! does; the process that runs the batch keeps real time and real chance. This is the only file of
//! the workspace with unsafe code.
//!
//! It does not make threads deterministic: the process of a seed has one.

use callboard_sim::Symbols;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

/// What the library calls to switch the symbols over.
pub(crate) const SYMBOLS: Symbols = Symbols {
    arm,
    set_elapsed,
    limit_cpu,
    cpu_ms,
};

/// Wall time at the start of every simulation: 2026-01-01T00:00:00Z, in seconds.
const EPOCH_SECS: u64 = 1_767_225_600;

/// Monotonic time at the start of every simulation, in seconds. Below the uptime of any machine that
/// had time to compile this, so that a futex wait with an absolute deadline of ours returns at once
/// instead of sleeping in real time.
const MONOTONIC_SECS: u64 = 10;

static ARMED: AtomicBool = AtomicBool::new(false);
static GENERATOR: AtomicU64 = AtomicU64::new(0);
static ELAPSED_NS: AtomicU64 = AtomicU64::new(0);

fn arm(seed: u64) {
    GENERATOR.store(seed ^ 0x6361_6c6c_626f_6172, Ordering::Relaxed);
    ARMED.store(true, Ordering::SeqCst);
}

fn set_elapsed(elapsed: Duration) {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    ELAPSED_NS.store(nanos, Ordering::Relaxed);
}

/// Ends the process by a signal after `seconds` of processor time: a world that stopped advancing
/// must fail, not hang.
fn limit_cpu(seconds: u64) {
    let limit = libc::rlimit {
        rlim_cur: seconds,
        rlim_max: seconds + 1,
    };
    // SAFETY: `limit` is a valid structure that outlives the call.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) };
    assert_eq!(
        done, 0,
        "setting a lower limit for the own process is always allowed"
    );
}

/// Returns the processor time this process has used, in milliseconds.
fn cpu_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for a write. This clock is passed on to the C library.
    unsafe { clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

fn armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// SplitMix64 (Steele, Lea, Flood 2014): one addition a step, so a plain atomic holds the state.
fn next_u64() -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = GENERATOR
        .fetch_add(GAMMA, Ordering::Relaxed)
        .wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills `len` bytes at `buffer` and returns `len`.
///
/// # Safety
///
/// `buffer` must be valid for writes of `len` bytes.
unsafe fn fill(buffer: *mut u8, len: usize) -> usize {
    for offset in (0..len).step_by(8) {
        let word = next_u64().to_le_bytes();
        let part = word.len().min(len - offset);
        // SAFETY: `offset + part <= len`, and the caller vouches for `len` bytes.
        unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), buffer.add(offset), part) };
    }
    len
}

/// Looks up the C library's own function of this name, once.
fn real(cache: &AtomicPtr<c_void>, name: &'static CStr) -> *mut c_void {
    let known = cache.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: `name` is a C string; RTLD_NEXT finds the definition after the executable's.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast::<c_char>()) };
    if found.is_null() {
        // SAFETY: always sound. Nothing can be printed here: printing may ask this very symbol.
        unsafe { libc::abort() };
    }
    cache.store(found, Ordering::Release);
    found
}

type GetRandom = unsafe extern "C" fn(*mut u8, usize, c_uint) -> isize;
type Syscall =
    unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
type ClockGetTime = unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;

/// Stands in front of `getrandom(2)`'s wrapper.
///
/// # Safety
///
/// As for the C function: `buffer` must be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, flags: c_uint) -> isize {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if armed() {
        // SAFETY: the caller's promise is the one `fill` needs.
        return unsafe { fill(buffer, len) }.cast_signed();
    }
    // SAFETY: the C library's `getrandom` has this signature, and the arguments are passed on.
    unsafe {
        std::mem::transmute::<*mut c_void, GetRandom>(real(&REAL, c"getrandom"))(buffer, len, flags)
    }
}

/// Stands in front of `syscall(2)`. The C function is variadic; on the platforms of Linux that Rust
/// has as tier 1, integer arguments of a variadic call travel where these seven do.
///
/// # Safety
///
/// As for the C function with these arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if number == libc::SYS_getrandom && armed() {
        let len = usize::try_from(b).unwrap_or(0);
        // SAFETY: `a` and `b` are the buffer and the length of a `getrandom` call.
        let written = unsafe {
            fill(
                std::ptr::with_exposed_provenance_mut(a.cast_unsigned() as usize),
                len,
            )
        };
        return c_long::try_from(written).unwrap_or(c_long::MAX);
    }
    // SAFETY: the C library's `syscall` takes a number and up to six words, which are passed on.
    unsafe {
        std::mem::transmute::<*mut c_void, Syscall>(real(&REAL, c"syscall"))(
            number, a, b, c, d, e, f,
        )
    }
}

/// Stands in front of `clock_gettime(2)`'s wrapper.
///
/// # Safety
///
/// As for the C function: `time` must be valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut libc::timespec) -> c_int {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let start_secs = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH_SECS,
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => MONOTONIC_SECS,
        _ => 0,
    };
    if start_secs == 0 || !armed() {
        // SAFETY: the C library's `clock_gettime` has this signature.
        return unsafe {
            std::mem::transmute::<*mut c_void, ClockGetTime>(real(&REAL, c"clock_gettime"))(
                clock, time,
            )
        };
    }
    let elapsed = Duration::from_nanos(ELAPSED_NS.load(Ordering::Relaxed));
    let seconds = start_secs + elapsed.as_secs();
    // SAFETY: the caller vouches for `time`; a zeroed timespec is a valid one.
    unsafe {
        time.write(std::mem::zeroed());
        (*time).tv_sec = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
        (*time).tv_nsec = c_long::from(elapsed.subsec_nanos());
    }
    0
}
