//! Who may call `GET /prestop`: the guard of `[http.prestop]`, held against a request's head. Pure.
//!
//! A GET that begins the stop must not be had by accident. A probe that was pointed at it by mistake is never let in. And where the
//! network alone is the guard, only who says to be a kubelet's hook is: neither a crawler nor a browser nor a server that was
//! talked into a request says so. Who has the token means it.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

use crate::config::network::Network;
use crate::config::prestop::Secret;
use crate::lifecycle::event::HookCaller;

/// The path, as it stands in a pod's `preStop.httpGet.path`.
pub const PATH: &str = crate::endpoint::PRESTOP;

/// A kubelet's hooks and probes tell themselves apart so (pkg/kubelet/lifecycle/handlers.go, pkg/probe/http/request.go).
const HOOK: &[u8] = b"kube-lifecycle/";
const PROBE: &[u8] = b"kube-probe/";

pub struct Guard {
    pub token: Option<Secret>,
    /// Empty: any.
    pub from: Vec<Network>,
}

impl Guard {
    /// Who it is.
    ///
    /// # Errors
    /// Why they may not, for the log alone: one line, without what they sent.
    pub fn admit(
        &self,
        from: IpAddr,
        authorization: Option<&[u8]>,
        user_agent: Option<&[u8]>,
    ) -> Result<HookCaller, String> {
        let from = from.to_canonical();
        if !self.from.is_empty() && !self.from.iter().any(|n| n.contains(from)) {
            return Err(format!("{from} is in no network of `from`"));
        }
        if let Some(token) = &self.token {
            match authorization.map(|value| bearer(value).is_some_and(|given| same(given, token.bytes()))) {
                Some(true) => {}
                Some(false) => return Err(format!("{from} sent another token")),
                None => return Err(format!("{from} sent no token (Authorization: Bearer)")),
            }
        }
        let is = |agent: &[u8]| user_agent.is_some_and(|value| value.starts_with(agent));
        if is(PROBE) {
            return Err(format!("a probe from {from} asked for {PATH}: point it at /readyz or /livez"));
        }
        let kubelet = is(HOOK);
        if !kubelet && self.token.is_none() {
            return Err(format!("{from} is no kubelet's hook (User-Agent: kube-lifecycle/), and there is no token"));
        }
        Ok(HookCaller { from, kubelet })
    }
}

/// RFC 6750, section 2.1; the scheme's name in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// Takes as long whatever is wrong; only the length can be told from it.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.ct_eq(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBELET: Option<&[u8]> = Some(b"kube-lifecycle/1.36");
    const TOKEN: Option<&[u8]> = Some(b"Bearer 0123456789abcdef");

    fn guard(token: bool, from: &[&str]) -> Guard {
        let token = token.then(|| Secret::new("0123456789abcdef").unwrap());
        Guard { token, from: from.iter().map(|n| Network::parse(n).unwrap()).collect() }
    }

    fn admit(guard: &Guard, from: &str, authorization: Option<&[u8]>, agent: Option<&[u8]>) -> Result<bool, String> {
        guard.admit(from.parse().unwrap(), authorization, agent).map(|caller| caller.kubelet)
    }

    #[test]
    fn a_network_lets_kubelets_in() {
        let g = guard(false, &["10.244.7.1", "fd00::/8"]);
        assert_eq!(admit(&g, "10.244.7.1", None, KUBELET), Ok(true));
        assert_eq!(admit(&g, "::ffff:10.244.7.1", None, KUBELET), Ok(true));
        assert_eq!(admit(&g, "fd00::1", None, KUBELET), Ok(true));
        for (from, agent) in [("10.244.7.2", KUBELET), ("10.244.7.1", None), ("10.244.7.1", Some(&b"curl/8"[..]))] {
            assert!(admit(&g, from, TOKEN, agent).is_err(), "{from} {agent:?}");
        }
    }

    #[test]
    fn a_token_lets_anybody_in_who_has_it() {
        let g = guard(true, &[]);
        assert_eq!(admit(&g, "192.0.2.1", TOKEN, Some(b"curl/8")), Ok(false));
        assert_eq!(admit(&g, "192.0.2.1", Some(b"bearer  0123456789abcdef "), None), Ok(false));
        for wrong in ["", "Bearer", "Bearer ", "Basic 0123456789abcdef", "Bearer 0123456789abcdeF", "Bearer 0123"] {
            let why = admit(&g, "192.0.2.1", Some(wrong.as_bytes()), KUBELET).unwrap_err();
            assert!(why.contains("another token") && !why.contains("0123"), "{wrong}: {why}");
        }
        assert!(admit(&g, "192.0.2.1", None, KUBELET).unwrap_err().contains("no token"));
    }

    #[test]
    fn both_must_hold_and_a_probe_is_never_let_in() {
        let g = guard(true, &["10.0.0.0/8"]);
        assert_eq!(admit(&g, "10.1.1.1", TOKEN, KUBELET), Ok(true));
        assert!(admit(&g, "192.0.2.1", TOKEN, KUBELET).is_err());
        assert!(admit(&g, "10.1.1.1", None, KUBELET).is_err());
        assert!(admit(&g, "10.1.1.1", TOKEN, Some(b"kube-probe/1.36")).unwrap_err().contains("/readyz"));
    }
}
