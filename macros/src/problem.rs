//! The collector of an item's mistakes. It orders nothing and stops nothing: each stage reports
//! what it sees and goes on.

use std::cell::RefCell;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};

use crate::code::Code;

/// The mistakes found so far in one item.
#[derive(Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

struct Problem {
    code: Code,
    error: syn::Error,
}

impl Problems {
    /// Reports a mistake under the given tokens of the user.
    pub(crate) fn under(&self, tokens: impl ToTokens, code: Code, message: impl AsRef<str>) {
        self.push(
            code,
            syn::Error::new_spanned(tokens, said(code, message.as_ref())),
        );
    }

    /// Reports a mistake under one span.
    pub(crate) fn at(&self, span: Span, code: Code, message: impl AsRef<str>) {
        self.push(code, syn::Error::new(span, said(code, message.as_ref())));
    }

    /// Returns how many mistakes were reported.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Returns the codes in the order reported.
    #[cfg(test)]
    pub(crate) fn codes(&self) -> Vec<Code> {
        self.0.borrow().iter().map(|problem| problem.code).collect()
    }

    /// Returns one `compile_error!` for each mistake.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let errors = self.0.into_inner().into_iter().map(|problem| {
            debug_assert!(problem.error.to_string().starts_with(problem.code.text()));
            problem.error.into_compile_error()
        });
        quote!(#(#errors)*)
    }

    fn push(&self, code: Code, error: syn::Error) {
        self.0.borrow_mut().push(Problem { code, error });
    }
}

/// Returns the text of a message: the code first, so that it can be searched for.
pub(crate) fn said(code: Code, message: &str) -> String {
    format!("{}: {message}", code.text())
}
