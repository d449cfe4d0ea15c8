//! One request over HTTP: parts of files, redirects that keep secrets where they belong, and what answers mean.

use super::{Fault, Patience, Sources};
use std::{
    env,
    io::{self, Read},
    time::Duration,
};
use ureq::http::{Response, StatusCode, Uri, header::HeaderMap};

/// Most redirects.
const MOST_HOPS: usize = 10;

/// Asks servers.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    /// The only place that is sent the token, and the token.
    token: Option<(Place, String)>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place(String, String, u16);

impl Place {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some(Self(scheme, uri.host()?.to_ascii_lowercase(), port))
    }

    /// Whether nobody on the way can read along.
    fn is_private(&self) -> bool {
        self.0 == "https" || matches!(&*self.1, "localhost" | "127.0.0.1" | "[::1]")
    }
}

/// What a server sends.
pub(super) struct Answer {
    /// The place in the file at which it begins.
    pub(super) start: u64,
    /// What the server calls this version of the file.
    pub(super) tag: Option<String>,
    pub(super) reader: Box<dyn Read + Send>,
}

impl Client {
    /// Proxies are those of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`. The token is that of `HF_TOKEN`.
    pub(crate) fn new(sources: &Sources, patience: Patience) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(patience.timeout))
            .timeout_connect(Some(patience.timeout))
            .timeout_recv_response(Some(patience.timeout))
            .timeout_per_read(Some(patience.timeout))
            .user_agent(concat!("upweave/", env!("CARGO_PKG_VERSION")))
            .build();
        let token = env::var("HF_TOKEN").ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let endpoint = sources.endpoint.parse().ok().and_then(|uri| Place::of(&uri)).filter(Place::is_private);
        Self { agent: config.into(), token: endpoint.zip(token) }
    }

    /// Asks for a file of so many bytes, from one of them on. `tag` is the version that the bytes before belong to.
    pub(super) fn get(&self, address: &str, from: u64, bytes: u64, tag: Option<&str>) -> Result<Answer, Fault> {
        if super::is_offline() {
            return Err(lasting("`--offline` allows no connection".to_owned()));
        }
        let mut url: Uri = address.parse().map_err(|_| lasting(format!("`{address}` is no address")))?;
        for _ in 0..MOST_HOPS {
            let mut request = self.agent.get(url.clone()).header("accept-encoding", "identity");
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
                // What cannot be compared byte by byte must not stand here (RFC 9110, 13.1.5).
                if let Some(tag) = tag.filter(|tag| !tag.starts_with("W/")) {
                    request = request.header("if-range", tag);
                }
            }
            if let Some((place, token)) = &self.token
                && Place::of(&url).as_ref() == Some(place)
            {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| failed(&url, &error))?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return self.answer(&url, response, from, bytes);
            }
            let next = text(response.headers(), "location").and_then(|location| joined(&url, location));
            let next = next.ok_or_else(|| lasting(format!("`{}` leads nowhere", shown(&url))))?;
            if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(lasting(format!("`{}` leads to an address without encryption", shown(&url))));
            }
            url = next;
        }
        Err(lasting(format!("`{address}` leads in circles")))
    }

    /// What an answer means.
    fn answer(&self, url: &Uri, response: Response<ureq::Body>, from: u64, bytes: u64) -> Result<Answer, Fault> {
        let (status, headers) = (response.status(), response.headers());
        let tag = text(headers, "etag").map(str::to_owned);
        let start = match status {
            StatusCode::OK => {
                let length = text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
                if length.is_some_and(|length| length != bytes) {
                    return Err(other_size(url, length, bytes));
                }
                0
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = text(headers, "content-range").and_then(range);
                let Some((start, total)) = range.filter(|(start, _)| *start == from) else {
                    return Err(lasting(format!("`{}` sends another part than it was asked for", shown(url))));
                };
                if total.is_some_and(|total| total != bytes) {
                    return Err(other_size(url, total, bytes));
                }
                start
            }
            // It is not that long: it is another file now.
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(other_size(url, None, bytes)),
            _ => return Err(self.refused(url, status, headers)),
        };
        Ok(Answer { start, tag, reader: Box::new(response.into_body().into_reader()) })
    }

    fn refused(&self, url: &Uri, status: StatusCode, headers: &HeaderMap) -> Fault {
        let what = format!("`{}` answers {status}", shown(url));
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => match &self.token {
                None => "it wants to know who asks: accept its licence on the page of the model, and set `HF_TOKEN`",
                Some(_) => "the token in `HF_TOKEN` does not allow it: accept the licence on the page of the model",
            },
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                "the file is not there any more; `--mirror URL` names another source"
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Fault::Passing(what, after(headers)),
            status if status.is_server_error() => return Fault::Passing(what, after(headers)),
            _ => return lasting(what),
        };
        Fault::Lasting(what, Some(hint.to_owned()))
    }
}

fn lasting(message: String) -> Fault {
    Fault::Lasting(message, None)
}

fn other_size(url: &Uri, found: Option<u64>, bytes: u64) -> Fault {
    let found = found.map_or_else(|| "fewer".to_owned(), |found| found.to_string());
    lasting(format!("`{}` is another file: it has {found} bytes, not {bytes}", shown(url)))
}

/// An address for people: what stands behind `?` may be a secret.
fn shown(url: &Uri) -> String {
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default(), url.path())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// The time that a server asks for. Dates are not read: the wait that grows by itself is good enough.
fn after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, "retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
}

/// Start and length of the whole in `bytes 5-9/10`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (start <= end && total.is_none_or(|total: u64| end < total)).then_some((start, total))
}

/// The address that a redirect leads to (RFC 3986, 5.2, without `..` in the middle of paths).
fn joined(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let is_scheme =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let whole = match location {
        _ if location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) => location.to_owned(),
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => {
            let folder = &from.path()[..from.path().rfind('/').map_or(0, |at| at + 1)];
            format!("{scheme}://{authority}{folder}{location}")
        }
    };
    let uri: Uri = whole.split('#').next()?.parse().ok()?;
    uri.host().filter(|host| !host.is_empty())?;
    matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri)
}

/// Why there is no answer.
fn failed(url: &Uri, error: &ureq::Error) -> Fault {
    let host = url.host().unwrap_or_default();
    match error {
        ureq::Error::Timeout(_) => Fault::Passing(format!("`{host}` does not answer in time"), None),
        ureq::Error::HostNotFound => Fault::Passing(format!("`{host}` is not found: is there a network?"), None),
        ureq::Error::Io(error) => Fault::Passing(format!("no connection to `{host}`: {error}"), None),
        ureq::Error::ConnectionFailed => Fault::Passing(format!("no connection to `{host}`"), None),
        ureq::Error::Protocol(error) => Fault::Passing(format!("`{host}` answers what is no HTTP: {error}"), None),
        error => lasting(format!("no connection to `{host}`: {error}")),
    }
}

/// Why the rest of a file does not come.
pub(super) fn broken(error: &io::Error, bytes: u64, of: u64) -> String {
    let timeout = error.kind() == io::ErrorKind::TimedOut
        || error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(|e| matches!(e, ureq::Error::Timeout(_)));
    if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("the connection ended after {bytes} of {of} bytes")
    } else if timeout {
        format!("nothing comes any more after {bytes} of {of} bytes")
    } else {
        format!("the connection broke after {bytes} of {of} bytes: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_of_all_forms() {
        let from: Uri = "https://a.example:8443/x/y?z=1".parse().expect("an address");
        for (location, expected) in [
            ("https://b.example/q?x=http://c", Some("https://b.example/q?x=http://c")),
            ("//b.example/q", Some("https://b.example/q")),
            ("/q", Some("https://a.example:8443/q")),
            ("q#part", Some("https://a.example:8443/x/q")),
            ("/q?to=https://b.example", Some("https://a.example:8443/q?to=https://b.example")),
            ("q?to=https://b.example", Some("https://a.example:8443/x/q?to=https://b.example")),
            ("file:///etc/passwd", None),
            ("ftp://b.example/q", None),
            ("http://", None),
        ] {
            let found = joined(&from, location).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, None)));
        for text in ["bytes */10", "bytes 9-5/10", "bytes 5-10/10", "5-9/10", "bytes 5-9", ""] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn places_differ_by_port_and_scheme() {
        let place = |text: &str| Place::of(&text.parse().expect("an address")).expect("it has a host");
        assert_eq!(place("https://A.example/x"), place("https://a.example:443/y"));
        assert_ne!(place("https://a.example"), place("http://a.example"));
        assert_ne!(place("https://a.example"), place("https://a.example:444"));
        assert_ne!(place("https://a.example"), place("https://a.example.evil.example"));
        assert!(place("http://127.0.0.1:1").is_private() && !place("http://a.example").is_private());
    }
}
