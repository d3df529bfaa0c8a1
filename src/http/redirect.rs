//! Where a redirect leads, as the kubelet has it (pkg/probe/http, `RedirectChecker`): on the same host it is followed, to whatever port; to
//! another host it is not, and the answer counts as it is. Pure.

use crate::config::{HttpCall, Method, Scheme, without_brackets};
use crate::facts::CallError;

/// The call that `location`, a URI reference, redirects `call` to. `None`: to another host, or nowhere that can be asked from here.
///
/// # Errors
/// It is none.
pub(super) fn to(call: &HttpCall, location: &str) -> Result<Option<HttpCall>, CallError> {
    // A POST is not repeated elsewhere.
    if call.method != Method::Get {
        return Ok(None);
    }
    let wrong = || CallError::NoLocation { location: location.chars().take(120).collect() };
    let (scheme, rest) = split_scheme(location.split('#').next().unwrap_or_default());
    let scheme = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None => call.scheme,
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        // `mailto:` and the like have no host.
        Some(_) => return Ok(None),
    };
    if scheme == Scheme::Https && !cfg!(feature = "https") {
        return Ok(None);
    }
    let mut next = HttpCall { scheme, ..call.clone() };
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let (host, port) = named(authority);
            let port: Option<u16> = port.map(str::parse).transpose().map_err(|_| wrong())?;
            if !bare(host).eq_ignore_ascii_case(bare(&call.host)) {
                return Ok(None);
            }
            next.port = port.unwrap_or(match scheme {
                Scheme::Http => 80,
                Scheme::Https => 443,
            });
            // What was asked for by another name is asked for by the one that the server gives.
            next.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
            if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
        }
        None => merged(&call.path, rest),
    };
    next.path = visible(&without_dots(&path));
    if next.port == 0 { Err(wrong()) } else { Ok(Some(next)) }
}

/// RFC 3986, section 3.1: a scheme, and what follows its colon.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let end = reference.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    match end.map(|end| reference.split_at(end)) {
        Some((scheme, rest)) if rest.starts_with(':') && !scheme.is_empty() => (Some(scheme), &rest[1..]),
        _ => (None, reference),
    }
}

/// Without who asks there; a port that is empty is none.
fn named(authority: &str) -> (&str, Option<&str>) {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, behind)| behind);
    match authority.rsplit_once(':') {
        Some((host, "")) => (host, None),
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn bare(host: &str) -> &str {
    let host = without_brackets(host);
    host.strip_suffix('.').unwrap_or(host)
}

/// RFC 3986, section 5.3, for a reference without an authority.
fn merged(base: &str, reference: &str) -> String {
    let path = base.split('?').next().unwrap_or_default();
    match reference.chars().next() {
        None => base.to_owned(),
        Some('/') => reference.to_owned(),
        Some('?') => format!("{path}{reference}"),
        Some(_) => format!("{}{reference}", &path[..path.rfind('/').map_or(0, |slash| slash + 1)]),
    }
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// What a request cannot have in its path, percent-encoded.
fn visible(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>`".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> HttpCall {
        let headers = vec![("Host".into(), "shop.example".into()), ("X-A".into(), "1".into())];
        HttpCall { headers, ..HttpCall::get("localhost", 8080, "/a/b?c=d") }
    }

    fn url(location: &str) -> Option<String> {
        to(&call(), location).unwrap().map(|call| call.url())
    }

    #[test]
    fn on_the_same_host_it_is_followed() {
        for (location, followed) in [
            ("/healthz", "http://localhost:8080/healthz"),
            ("x", "http://localhost:8080/a/x"),
            ("../x/./y/..", "http://localhost:8080/x/"),
            ("../../../x", "http://localhost:8080/x"),
            ("?e=f", "http://localhost:8080/a/b?e=f"),
            ("#top", "http://localhost:8080/a/b?c=d"),
            ("//LOCALHOST:9/x", "http://localhost:9/x"),
            ("HTTP://localhost./y?z=/../", "http://localhost:80/y?z=/../"),
            ("http://user:word@localhost:", "http://localhost:80/"),
            ("http://localhost:81?q", "http://localhost:81/?q"),
            ("/a b\u{e9}", "http://localhost:8080/a%20b%C3%A9"),
        ] {
            assert_eq!(url(location).as_deref(), Some(followed), "{location}");
        }
        let v6 = HttpCall { host: "::1".into(), ..call() };
        assert_eq!(to(&v6, "http://[::1]:9/x").unwrap().unwrap().url(), "http://[::1]:9/x");
    }

    #[test]
    fn to_another_host_it_is_not() {
        for location in
            ["http://example.com/", "//example.com", "mailto:a@localhost", "ftp://localhost/", "http://127.0.0.1/"]
        {
            assert_eq!(url(location), None, "{location}");
        }
        let post = HttpCall { method: Method::Post, ..call() };
        assert_eq!(to(&post, "/x"), Ok(None));
    }

    #[test]
    fn https_is_followed_where_there_is_tls() {
        let followed = cfg!(feature = "https").then(|| "https://localhost:443/x".to_string());
        assert_eq!(url("https://localhost/x"), followed);
    }

    #[test]
    fn the_host_header_stays_as_long_as_the_server_names_no_host() {
        let hosts = |location: &str| to(&call(), location).unwrap().unwrap().headers.len();
        assert_eq!((hosts("/x"), hosts("http://localhost/x")), (2, 1));
    }

    #[test]
    fn what_is_no_address_is_said() {
        for location in ["http://localhost:x/", "http://localhost:0/", "http://localhost:99999/"] {
            let said = to(&call(), location).unwrap_err().to_string();
            assert_eq!(said, format!("redirected to {location:?}, which is no address"));
        }
    }
}
