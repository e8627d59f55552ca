//! Names with `*` in them.

/// Returns whether `pattern`, in which each `*` stands for any text, is the whole of `name`.
///
/// It takes at most the product of the two lengths: only the last `*` is ever tried again.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(byte) if *byte == name[pos] => {
                at += 1;
                pos += 1;
            }
            _ => {
                let Some((star_at, star_pos)) = star else {
                    return false;
                };
                star = Some((star_at, star_pos + 1));
                at = star_at + 1;
                pos = star_pos + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "Greeter"),
            ("Greeter", "Greeter"),
            ("Gr*r", "Greeter"),
            ("*e*e*", "Greeter"),
            ("shop.*", "shop.Orders"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "x"),
            ("Greeter", "Greeters"),
            ("Gr*x", "Greeter"),
            ("shop.*", "shop"),
            ("*ab", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
