//! The token goes to the place that it is for, and redirects are followed without it.

use super::{
    place::{Came, Place, weights},
    server::{Reply, Server},
};

fn with_token(place: &Place, endpoint: &str, more: &str) -> Came {
    let pull = format!("{}{more}", super::place::PULL);
    place.command(endpoint, &pull).env("HF_TOKEN", "hf_secret").output().expect("the program starts").into()
}

fn tokens(server: &Server) -> Vec<Option<String>> {
    server.asked().iter().map(|asked| asked.headers.get("authorization").cloned()).collect()
}

#[test]
fn a_token_goes_along_on_the_same_host_only() {
    let content = weights(1000);
    let (place, whole) = (Place::with(&content), content.clone());
    let elsewhere = Server::new(move |_, _| Reply::File(whole.clone()));
    // `localhost` is another host than `127.0.0.1`, and another port another server.
    let to = elsewhere.address.clone();
    let server = Server::new(move |asked, _| match asked.path.as_str() {
        "/me/it/resolve/abc/a/file.safetensors" => {
            Reply::Status(302, vec![("Location", "/second?x=1".to_owned())], vec![])
        }
        _ => Reply::Status(307, vec![("Location", format!("{to}/third?signature=secret"))], vec![]),
    });
    let came = with_token(&place, &server.address, "");
    came.is(0, &[]);
    assert_eq!(tokens(&server), [Some("Bearer hf_secret".to_owned()), Some("Bearer hf_secret".to_owned())]);
    assert_eq!(tokens(&elsewhere), [None]);
    assert_eq!(elsewhere.asked()[0].path, "/third?signature=secret");
    assert!(!came.err.contains("secret") && !came.out.contains("secret"));
}

#[test]
fn mirrors_get_no_token() {
    let content = weights(1000);
    let place = Place::with(&content);
    let (mirror, origin) = (Server::of(&content), Server::of(&content));
    with_token(&place, &origin.address, &format!(" --mirror {}", mirror.address)).is(0, &[]);
    assert_eq!((tokens(&mirror), tokens(&origin)), (vec![None], vec![]));
}

#[test]
fn what_a_redirect_hides_is_not_told() {
    let place = Place::with(&weights(1000));
    let refusing = Server::new(|_, _| Reply::Status(403, vec![], vec![]));
    let to = refusing.address.clone();
    let server =
        Server::new(move |_, _| Reply::Status(302, vec![("Location", format!("{to}/x?signature=hidden"))], vec![]));
    let came = with_token(&place, &server.address, "");
    came.is(5, &["403", "HF_TOKEN"]);
    assert!(!came.err.contains("hidden") && !came.err.contains("hf_secret"), "{came:?}");
}

#[test]
fn redirects_come_to_an_end() {
    let place = Place::with(&weights(1000));
    let server = Server::new(|asked, _| Reply::Status(302, vec![("Location", format!("{}x", asked.path))], vec![]));
    place.pull(&server.address).is(5, &["leads in circles"]);
    for location in ["file:///etc/passwd", "", "http://"] {
        let server = Server::new(move |_, _| Reply::Status(302, vec![("Location", location.to_owned())], vec![]));
        let came = place.pull(&server.address);
        came.is(5, &[if location.is_empty() { "leads" } else { "leads nowhere" }]);
    }
    let server = Server::new(|_, _| Reply::Status(302, vec![], vec![]));
    place.pull(&server.address).is(5, &["leads nowhere"]);
    place.is_empty();
}
