//! The little of XMP that speaks of the pixels, and where the picture was taken. XMP is text that many programs write in many
//! forms; what is not found is left alone.

use engine::value::Size;

/// The packet of a picture that stands upright and has this size, without small pictures of what was before.
pub(super) fn fitting(packet: &str, size: Size) -> String {
    let mut text = packet.to_owned();
    for (name, value) in [
        ("tiff:Orientation", "1".to_owned()),
        ("tiff:ImageWidth", size.width.to_string()),
        ("tiff:ImageLength", size.height.to_string()),
        ("exif:PixelXDimension", size.width.to_string()),
        ("exif:PixelYDimension", size.height.to_string()),
    ] {
        text = with_value(&text, name, &value);
    }
    // A recipe is that of the picture that was.
    without_element(&without_element(&text, "xmp:Thumbnails"), RECIPE)
}

const RECIPE: &str = "upweave:recipe";
const SPACE: &str = "https://upweave.org/ns/recipe/";

/// The packet with a recipe in it; a new one where there is none.
pub(super) fn with_recipe(packet: Option<&str>, recipe: &str) -> String {
    let told = format!(
        "<rdf:Description xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" rdf:about=\"\" \
         xmlns:upweave=\"{SPACE}\"><{RECIPE}>{}</{RECIPE}></rdf:Description>",
        escaped(recipe)
    );
    let end = "</rdf:RDF>";
    match packet.and_then(|packet| packet.rfind(end).map(|at| packet.split_at(at))) {
        Some((before, after)) => format!("{before}{told}{after}"),
        None => format!(
            "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
             {told}{end}</x:xmpmeta>"
        ),
    }
}

/// The recipe in a packet.
pub(super) fn recipe(packet: &str) -> Option<String> {
    let (_, start, end, _) = element(packet, RECIPE)?;
    // The last, so that nothing is read twice.
    let plain = packet[start..end].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&apos;", "'").replace("&amp;", "&"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The packet without places.
pub(super) fn without_gps(packet: &str) -> String {
    let mut text = packet.to_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find("exif:GPS").map(|at| from + at) {
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
        let less = without_element(&without_attribute(&text, &name), &name);
        // What is neither of both is left, and passed over.
        from = if less.len() < text.len() { 0 } else { at + name.len() };
        text = less;
    }
    text
}

/// Where the value of an attribute lies: behind its first quote, before its second.
fn attribute(text: &str, name: &str, from: usize) -> Option<(usize, usize, usize)> {
    let mut from = from;
    loop {
        let at = from + text.get(from..)?.find(name)?;
        from = at + name.len();
        let rest = text[from..].trim_start();
        let Some(rest) = rest.strip_prefix('=').map(str::trim_start) else { continue };
        let Some(quote) = rest.chars().next().filter(|c| ['"', '\''].contains(c)) else { continue };
        let start = text.len() - rest.len() + 1;
        let end = start + text[start..].find(quote)?;
        return Some((at, start, end));
    }
}

/// Where an element lies, and what is in it.
fn element(text: &str, name: &str) -> Option<(usize, usize, usize, usize)> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let at = text.find(&open)?;
    let start = at + open.len();
    let end = start + text[start..].find(&close)?;
    Some((at, start, end, end + close.len()))
}

fn with_value(text: &str, name: &str, value: &str) -> String {
    if let Some((_, start, end)) = attribute(text, name, 0) {
        return format!("{}{value}{}", &text[..start], &text[end..]);
    }
    match element(text, name) {
        Some((_, start, end, _)) => format!("{}{value}{}", &text[..start], &text[end..]),
        None => text.to_owned(),
    }
}

fn without_attribute(text: &str, name: &str) -> String {
    match attribute(text, name, 0) {
        Some((at, _, end)) => format!("{}{}", text[..at].trim_end(), &text[end + 1..]),
        None => text.to_owned(),
    }
}

fn without_element(text: &str, name: &str) -> String {
    match element(text, name) {
        Some((at, _, _, end)) => format!("{}{}", &text[..at], &text[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<rdf:Description tiff:Orientation="6" exif:GPSLatitude="50,1N" dc:format='image/jpeg'>
<exif:PixelXDimension>640</exif:PixelXDimension><exif:GPSLongitude>8E</exif:GPSLongitude>
<xmp:Thumbnails><rdf:Alt>small</rdf:Alt></xmp:Thumbnails></rdf:Description>"#;

    #[test]
    fn what_speaks_of_pixels_is_told_anew() {
        let text = fitting(PACKET, Size::new(1280, 960));
        assert!(text.contains(r#"tiff:Orientation="1""#), "{text}");
        assert!(text.contains("<exif:PixelXDimension>1280</exif:PixelXDimension>"), "{text}");
        assert!(!text.contains("small") && text.contains("dc:format='image/jpeg'"), "{text}");
    }

    #[test]
    fn places_go() {
        let text = without_gps(PACKET);
        assert!(!text.contains("GPS"), "{text}");
        assert!(text.contains(r#"<rdf:Description tiff:Orientation="6" dc:format"#), "{text}");
    }

    #[test]
    fn a_recipe_is_put_in_and_found_and_goes_with_the_picture() {
        let told = r#"{"a": "<b> & &lt; 'c'"}"#;
        for packet in [None, Some("<x:xmpmeta><rdf:RDF><rdf:Description/></rdf:RDF></x:xmpmeta>"), Some("nonsense")] {
            let with = with_recipe(packet, told);
            assert_eq!(recipe(&with).as_deref(), Some(told));
            assert_eq!(recipe(&fitting(&with, Size::new(1, 1))), None);
        }
        assert_eq!(recipe("<upweave:recipe>"), None);
    }

    #[test]
    fn nonsense_ends() {
        let whole = PACKET.repeat(2);
        for cut in 0..whole.len() {
            if let Some(part) = whole.get(..cut) {
                fitting(part, Size::new(1, 1));
                without_gps(part);
            }
        }
        without_gps("exif:GPS exif:GPS= exif:GPSx=\" <exif:GPS>");
    }
}
