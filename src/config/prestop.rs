//! `[http.prestop]`: who may call `GET /prestop`. Pure.

use std::fmt;
use std::path::PathBuf;

use super::network::Network;

/// At least one of the two is there, and whatever is there must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreStop {
    /// `Authorization: Bearer TOKEN`.
    pub token: Option<Token>,
    /// The caller's address is in one of these; empty: any.
    pub from: Vec<Network>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Value(Secret),
    /// Read once, before anything is started.
    File(PathBuf),
}

/// Never shown, whoever prints the settings.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What a header can carry and nobody guesses.
    ///
    /// # Errors
    /// What is wrong, without the value.
    pub fn new(text: &str) -> Result<Secret, &'static str> {
        match text.len() {
            0..16 => Err("has less than 16 characters and can be guessed"),
            257.. => Err("has more than 256 characters"),
            _ if !text.bytes().all(|b| b.is_ascii_graphic()) => {
                Err("has characters other than visible ASCII, which no header can carry")
            }
            _ => Ok(Secret(text.to_string())),
        }
    }

    /// For comparing, in constant time.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_checked_and_never_shown() {
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert_eq!((format!("{secret:?}"), secret.bytes().len()), ("Secret".to_string(), 16));
        for text in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", &"x".repeat(257)] {
            assert!(Secret::new(text).is_err(), "{text:?}");
        }
    }
}
