//! Resolving, promoting, rolling back, adding and removing.

use std::time::SystemTime;

use super::*;

fn repository() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().unwrap();
    for version in ["1", "2", "10", "draft", "011", "+12"] {
        let folder = dir.path().join("pump").join(version);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.onnx"), b"x").unwrap();
    }
    let repository = Repository::new(dir.path());
    (dir, repository)
}

fn note(why: &str) -> Note {
    Note::new("ada", why, SystemTime::UNIX_EPOCH)
}

fn serving(repository: &Repository) -> u32 {
    repository.resolve("pump", None).unwrap().version
}

#[test]
fn the_highest_number_is_taken_unless_one_is_named() {
    let (_dir, repository) = repository();
    assert_eq!(repository.versions("pump"), [1, 2, 10]);
    assert_eq!(repository.resolve("pump", None).unwrap().version, 10);
    assert_eq!(repository.resolve("pump", Some(2)).unwrap().version, 2);
}

#[test]
fn what_is_missing_is_told_with_what_is_there() {
    let (_dir, repository) = repository();
    let error = repository.resolve("pumps", None).unwrap_err().to_string();
    assert!(error.contains("there is pump"), "{error}");
    let error = repository.resolve("pump", Some(3)).unwrap_err().to_string();
    assert!(error.contains("1, 2, 10"), "{error}");
}

#[test]
fn a_name_is_no_path() {
    let (dir, repository) = repository();
    std::fs::create_dir_all(dir.path().join(".store/1")).unwrap();
    assert_eq!(repository.names().unwrap(), ["pump"]);
    for name in ["..", ".store", "", "a/b", "-rf", "pump\n", "/etc", "p mp"] {
        let error = repository.resolve(name, None).unwrap_err();
        assert!(matches!(error, RepositoryError::Name(_)), "{name}: {error}");
    }
    check_name("turbofan-rul_2.1").unwrap();
}

#[test]
fn the_pointer_decides_and_a_promotion_backwards_says_so() {
    let (_dir, repository) = repository();
    let forwards = repository
        .promote("pump", 2, Some("f00"), &note("better"))
        .unwrap();
    // The highest one had served.
    assert_eq!((forwards.from, forwards.to), (Some(10), 2));
    assert!(forwards.goes_backwards());
    assert_eq!(serving(&repository), 2);
    assert!(
        !repository
            .promote("pump", 10, None, &note(""))
            .unwrap()
            .goes_backwards()
    );
    let told = repository.history("pump").unwrap();
    let told: Vec<(Action, Option<u32>, u32, &str)> = told
        .iter()
        .map(|event| (event.action, event.from, event.to, event.note.why.as_str()))
        .collect();
    let expected = [
        (Action::Promote, Some(10), 2, "better"),
        (Action::Promote, Some(2), 10, ""),
    ];
    assert_eq!(told, expected);
    let error = repository
        .promote("pump", 3, None, &note(""))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no version 3"), "{error}");
    assert_eq!(serving(&repository), 10);
}

#[test]
fn rolling_back_goes_on_to_the_one_before() {
    let (dir, repository) = repository();
    let none = repository.roll_back("pump", &note("")).unwrap_err();
    assert!(
        matches!(none, RepositoryError::NothingBefore { .. }),
        "{none}"
    );
    for version in [1, 2, 10] {
        repository
            .promote("pump", version, None, &note(""))
            .unwrap();
    }
    assert_eq!(repository.roll_back("pump", &note("worse")).unwrap().to, 2);
    assert_eq!(repository.roll_back("pump", &note("")).unwrap().to, 1);
    repository.promote("pump", 2, None, &note("")).unwrap();
    // What is gone is passed over: before 1, 10 had served without a pointer.
    std::fs::remove_dir_all(dir.path().join("pump/1")).unwrap();
    assert_eq!(repository.roll_back("pump", &note("")).unwrap().to, 10);
    assert_eq!(serving(&repository), 10);
}

#[test]
fn a_pointer_to_nothing_is_told_and_can_be_mended() {
    let (dir, repository) = repository();
    repository.promote("pump", 2, None, &note("")).unwrap();
    std::fs::remove_dir_all(dir.path().join("pump/2")).unwrap();
    let error = repository.resolve("pump", None).unwrap_err().to_string();
    assert!(
        error.contains("version 2 is the champion") && error.contains("1, 10"),
        "{error}"
    );
    repository.promote("pump", 1, None, &note("")).unwrap();
    assert_eq!(serving(&repository), 1);
    std::fs::write(dir.path().join("pump/champion.json"), "{").unwrap();
    let error = repository.resolve("pump", None).unwrap_err().to_string();
    assert!(error.contains("champion.json can't be read"), "{error}");
}

#[test]
fn an_added_version_gets_the_next_number_and_does_not_serve_yet() {
    let (dir, repository) = repository();
    let add = |name: &str| {
        let staged = repository.stage().unwrap();
        std::fs::write(staged.path().join("model.onnx"), b"new").unwrap();
        repository.add(name, staged, "f00", &note("")).unwrap()
    };
    assert_eq!(
        repository.stage().unwrap().path().parent(),
        Some(dir.path())
    );
    assert_eq!(add("pump").version, 11);
    assert_eq!(serving(&repository), 10);
    // A first version serves: there is nothing else.
    assert_eq!(add("fan").version, 1);
    assert_eq!(repository.resolve("fan", None).unwrap().version, 1);
    // A number that was removed does not come back, and nothing is left of what was staged.
    repository
        .remove("pump", 11, Removal::Delete, &note(""))
        .unwrap();
    assert_eq!(add("pump").version, 12);
    assert_eq!(repository.names().unwrap(), ["fan", "pump"]);
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn what_serves_is_not_removed_and_the_rest_can_be_found_again() {
    let (_dir, repository) = repository();
    let error = repository
        .remove("pump", 10, Removal::Trash, &note(""))
        .unwrap_err();
    assert!(matches!(error, RepositoryError::Serves { .. }), "{error}");
    let trash = repository
        .remove("pump", 2, Removal::Trash, &note(""))
        .unwrap()
        .unwrap();
    assert!(trash.join("model.onnx").is_file());
    assert_eq!(repository.versions("pump"), [1, 10]);
}
