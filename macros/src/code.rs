//! The codes of all mistakes, from the table in `codes.in`.
//!
//! The table is a file of its own, so that a test can include it with another `codes!` and check
//! the book and `tests/ui` against it: a macro package can export nothing but macros.

macro_rules! codes {
    ($($code:ident $variant:ident $name:literal means $means:literal fix $fix:literal)*) => {
        /// A mistake in a definition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(dead_code, reason = "some rows are said by the compiler, through attributes")]
        pub(crate) enum Code {
            $(#[doc = $means] $variant,)*
        }

        impl Code {
            /// Returns the stable code, such as `CB0001`.
            pub(crate) const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($code),)*
                }
            }
        }
    };
}

include!("codes.in");
