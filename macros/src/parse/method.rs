//! Reads what `#[handlers]` and `#[contract]` share: a method's attributes and signature.

use syn::{Attribute, Signature, Visibility};

use super::{attribute, definition};
use crate::{
    code::Code,
    model::{HandlerOptions, KeptAttributes, Method},
    problem::Problems,
};

/// Takes the `#[handler]` attributes out of `attrs` and reads them.
pub(super) fn method(
    attrs: &mut Vec<Attribute>,
    vis: Visibility,
    sig: Signature,
    problems: &Problems,
) -> Method {
    let (marks, others): (Vec<_>, _) = std::mem::take(attrs).into_iter().partition(is_mark);
    for mark in marks.iter().filter(|mark| is_named(mark, "handlers")) {
        let message = "`#[handlers]` stands on the `impl`, and on a method `#[handler]`: write `#[handler(…)]` with \
                       what is in the brackets here, or remove this";
        problems.under(mark, Code::NotAnInherentImpl, message);
    }
    *attrs = others;
    let kept = |names: &[&str]| {
        let is_kept = |attr: &&Attribute| names.iter().any(|name| attr.path().is_ident(name));
        attrs.iter().filter(is_kept).cloned().collect()
    };
    let kept = KeptAttributes {
        cfgs: kept(&["cfg"]),
        docs: kept(&["doc"]),
        deprecated: kept(&["deprecated"]),
    };
    Method {
        vis,
        options: options(&marks, problems),
        marks,
        kept,
        sig,
    }
}

/// Returns whether an attribute is ours, however its path is written.
fn is_mark(attr: &Attribute) -> bool {
    is_named(attr, "handler") || is_named(attr, "handlers")
}

fn is_named(attr: &Attribute, name: &str) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|last| last.ident == name)
}

fn options(marks: &[Attribute], problems: &Problems) -> HandlerOptions {
    let mut options = HandlerOptions::default();
    for mark in marks {
        for setting in attribute::of_attribute(mark, "handler", HANDLER, problems) {
            let name = setting.name.clone();
            match name.to_string().as_str() {
                "skip" => options.skip = setting.flag(problems).map(|given| given.name),
                "idempotent" => options.idempotent = setting.flag(problems).map(|given| given.name),
                "once" => options.once = setting.flag(problems).map(|given| given.name),
                "abort" => options.abort = setting.flag(problems).map(|given| given.name),
                "activate" => options.activate = setting.flag(problems).map(|given| given.name),
                "deactivate" => options.deactivate = setting.flag(problems).map(|given| given.name),
                "timeout" => options.timeout = definition::timeout(&setting, problems),
                "name" => options.name = definition::name(&setting, problems),
                "allow" => options.allow = definition::roles(&setting, problems),
                _ => {}
            }
        }
    }
    options
}

const HANDLER: &[&str] = &[
    "timeout",
    "idempotent",
    "once",
    "abort",
    "skip",
    "name",
    "allow",
    "activate",
    "deactivate",
];
