use super::*;

#[test]
fn any_size_is_safe() {
    let faces = faces().unwrap();
    for (width, height) in [(1, 1), (1, 500), (333, 1), (19, 21), (20, 20), (41, 39), (79, 80), (101, 67), (2000, 3)] {
        let pixels: Vec<u8> = (0..width * height).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let found = faces.find(&Grey8 { width, height, pixels: &pixels }).unwrap();
        for face in found {
            assert!(face.x >= 0.0 && face.x + face.width <= width as f32 + 1e-3);
            assert!(face.y >= 0.0 && face.y + face.height <= height as f32 + 1e-3);
            assert!((0.0..=1.0).contains(&face.confidence));
        }
    }
}

#[test]
fn a_flat_picture_has_no_faces() {
    let found = faces().unwrap().find(&Grey8 { width: 200, height: 150, pixels: &[128; 30_000] }).unwrap();
    assert_eq!(found, []);
}

#[test]
fn wrong_sizes_are_errors() {
    for (width, height) in [(0, 0), (3, 3), (u32::MAX, u32::MAX)] {
        let found = faces().unwrap().find(&Grey8 { width, height, pixels: &[0; 8] });
        assert!(matches!(found, Err(Error::PictureSize { values: 8, .. })));
    }
}

#[test]
fn hands_say_how_to_get_them() {
    let message = hands().err().unwrap().to_string();
    assert_eq!(message, "the model that finds hands is not installed: run `upweave models pull hands`");
}

#[test]
fn embedded_models_have_cards() {
    let cards = crate::cards().unwrap();
    assert_eq!(cards.iter().map(|(card, _)| card.name).collect::<Vec<_>>(), ["faithful", "detail", "faces"]);
    assert!(cards.iter().all(|(card, digest)| card.bytes > 0 && *digest != [0; 32]));
}
