//! Closed sets of words as Rust enums.

/// Declares an enum whose variants have one written form each. For an Avro enum the order is that
/// of the `.avsc`: a symbol's place is what is written, so it is part of the contract (a test
/// compares both).
macro_rules! symbols {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$what:meta])* $variant:ident = $symbol:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $( $(#[$what])* $variant, )+
        }

        impl $name {
            /// Every symbol, in the order of the contract.
            pub const ALL: &[Self] = &[ $( Self::$variant, )+ ];

            /// The symbol as Avro, Postgres and JSON write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $symbol, )+
                }
            }

            /// The variant of a symbol, exactly as written.
            #[must_use]
            pub fn parse(symbol: &str) -> Option<Self> {
                match symbol {
                    $( $symbol => Some(Self::$variant), )+
                    _ => None,
                }
            }

            /// Place in [`Self::ALL`], from 0: what Avro writes.
            #[must_use]
            pub const fn index(self) -> u8 {
                self as u8
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use symbols;
