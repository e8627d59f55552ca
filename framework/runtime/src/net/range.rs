//! What a setting may be, and what to say of one that is not.
//!
//! A value out of its range is told with the range. Two settings that do not fit each other are told
//! with both values and the rule between them, under the name of the one that was set: the other may
//! be a default that nobody has looked at. Depends on the table of codes only.

use std::fmt::Debug;

use callboard_protocol::code::Code;

use super::StartError;

/// Checks that a setting is from `least` to `most`.
///
/// # Errors
/// [`Code::ConfigInvalid`].
pub(crate) fn within<T: PartialOrd + Debug>(
    name: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), StartError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(refused(
        format!("setting {name}"),
        format!("it is {value:?}, and may be {least:?} to {most:?}"),
    ))
}

/// Checks that a setting is not below `least`.
///
/// # Errors
/// [`Code::ConfigInvalid`].
pub(crate) fn at_least<T: PartialOrd + Debug>(
    name: &str,
    value: T,
    least: T,
) -> Result<(), StartError> {
    if value >= least {
        return Ok(());
    }
    Err(refused(
        format!("setting {name}"),
        format!("it is {value:?}, and may be {least:?} or more"),
    ))
}

/// One of two settings that have to fit each other.
pub(super) struct Side<T> {
    pub(super) name: &'static str,
    pub(super) value: T,
    pub(super) default: T,
}

impl<T: PartialEq + Debug> Side<T> {
    fn is_set(&self) -> bool {
        self.value != self.default
    }

    fn said(&self) -> String {
        let (name, value) = (self.name, &self.value);
        match self.is_set() {
            true => format!("{name} is {value:?}"),
            false => format!("{name} is {value:?} by default"),
        }
    }
}

/// Checks that two settings fit each other; `rule` says how they have to.
///
/// # Errors
/// [`Code::ConfigInvalid`].
pub(super) fn related<T: PartialEq + Debug>(
    fits: bool,
    sides: [Side<T>; 2],
    rule: &str,
) -> Result<(), StartError> {
    if fits {
        return Ok(());
    }
    let set = sides.iter().filter(|side| side.is_set());
    let set = set.map(|side| side.name).collect::<Vec<_>>();
    let subject = match set.as_slice() {
        [only] => format!("setting {only}"),
        _ => format!("settings {} and {}", sides[0].name, sides[1].name),
    };
    let [first, second] = sides.map(|side| side.said());
    Err(refused(
        subject,
        format!("{first} and {second}, and {rule}"),
    ))
}

fn refused(subject: String, detail: String) -> StartError {
    StartError::new(Code::ConfigInvalid, subject).with_detail(detail)
}
