use super::*;

const GOOD: &str = r#"{
    "repositories": {"a": ["https://a.example/x"], "B b": ["http://u:secret@b.example/", "file:///srv/b/"]},
    "mapping": [
        {"paths": ["x/*", "y"], "repositories": ["B b", "a"], "threshold": 2, "terminating": false},
        {"paths": ["*"], "repositories": ["a"], "threshold": 1, "terminating": true},
        {"paths": ["*"], "repositories": ["B b"], "threshold": 1, "terminating": true}
    ]
}"#;

fn error(text: &str) -> String {
    Map::parse(text.as_bytes()).unwrap_err().to_string()
}

/// With these repositories and this one mapping.
fn map(repositories: &str, mapping: &str) -> String {
    format!(r#"{{"repositories": {{{repositories}}}, "mapping": [{mapping}]}}"#)
}

fn with_names(names: &[&str]) -> String {
    let each = names.iter().enumerate().map(|(index, name)| {
        format!("{}: [\"https://h{index}.example/\"]", serde_json::to_string(name).unwrap())
    });
    let first = serde_json::to_string(names[0]).unwrap();
    let mapping =
        format!(r#"{{"paths": ["*"], "repositories": [{first}], "threshold": 1, "terminating": true}}"#);
    map(&each.collect::<Vec<_>>().join(","), &mapping)
}

#[test]
fn a_map_is_read_in_its_order() {
    let map = Map::parse(GOOD.as_bytes()).unwrap();
    let urls = map.repositories().map(|(name, urls)| (name.as_str(), urls.len())).collect::<Vec<_>>();
    assert_eq!(urls, [("B b", 2), ("a", 1)]);
    let (_, a) = map.repositories().last().unwrap();
    assert_eq!(a[0].as_str(), "https://a.example/x/", "a base is a directory");
    let first = &map.mappings()[0];
    assert_eq!(first.repositories.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), ["B b", "a"]);
    assert_eq!(first.repositories[0].directory(), "B%20b");
    assert_eq!((first.threshold, first.terminating), (2, false));
    let matching = |path: &str| {
        let path = TargetPath::new(path).unwrap();
        map.matching(&path).map(|(index, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(matching("y"), [0, 1], "a terminating mapping is the last");
    assert_eq!(matching("z"), [1]);
    assert_eq!(matching("x/1"), [0]);
    assert_eq!(matching("z/1"), [0_usize; 0]);
    let shown = format!("{map:?}");
    assert!(shown.contains("b.example") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_map_that_is_wrong_anywhere_is_refused_with_the_place() {
    let mapping = |paths: &str, repositories: &str, threshold: &str| {
        let second = format!(
            r#"{{"paths": {paths}, "repositories": {repositories}, "threshold": {threshold}, "terminating": true}}"#
        );
        let first = r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1, "terminating": false}"#;
        map(r#""a": ["https://a.example/"], "b": ["https://b.example/"]"#, &format!("{first},{second}"))
    };
    let url = |urls: &str| {
        map(
            &format!(r#""z": ["https://z.example/"], "a": {urls}"#),
            r#"{"paths": ["*"], "repositories": ["z"], "threshold": 1, "terminating": true}"#,
        )
    };
    let both = r#"["a", "b"]"#;
    let many = (0..=MAX_PER_MAPPING).map(|index| format!("\"r{index}\"")).collect::<Vec<_>>().join(",");
    let crowd: Vec<String> = (0..=MAX_REPOSITORIES)
        .map(|index| format!("\"r{index}\": [\"https://r{index}.example/\"]"))
        .collect();
    let rows = [
        ("".to_owned(), "map: "),
        ("[]".to_owned(), "map: it is no object"),
        ("{}".to_owned(), "map: missing field `"),
        (r#"{"repositories": {}, "repositories": {}, "mapping": []}"#.to_owned(), "repositories"),
        (GOOD.replace("\"mapping\"", "\"x\": 1, \"mapping\""), "map: unknown field `x`"),
        (GOOD.replace("1, \"terminating\": true", "1.5, \"terminating\": true"), "map: "),
        (" ".repeat(1 << 20) + GOOD, "map: more than 1048576 bytes"),
        (map("", ""), "map: the mapping is empty"),
        (map(&crowd.join(","), "{}"), "map: more than 256 repositories"),
        (map("", "[[\"*\"], [\"a\"], true, 1]"), "map: mapping[0]: it is no object"),
        (mapping(r#""*""#, both, "1"), "map: mapping[1]: invalid type: string"),
        (mapping("[]", both, "1"), "map: mapping[1]: the list of paths is empty"),
        (mapping(r#"["*"]"#, "[]", "1"), "map: mapping[1]: the list of repositories is empty"),
        (mapping(r#"["*"]"#, r#"["a", "c"]"#, "1"), r#"map: mapping[1]: the repository "c" is not among"#),
        (mapping(r#"["*"]"#, r#"["a", "A"]"#, "1"), r#"map: mapping[1]: the repository "A" is not among"#),
        (mapping(r#"["*"]"#, r#"["a", "b", "a"]"#, "1"), "map: mapping[1]: the repository a is named twice"),
        (mapping(r#"["*"]"#, &format!("[{many}]"), "1"), "map: mapping[1]: more than 16 repositories"),
        (mapping(r#"["*"]"#, both, "0"), "map: mapping[1]: the threshold is 0: it must be at least 1"),
        (
            mapping(r#"["*"]"#, both, "3"),
            "map: mapping[1]: the threshold is 3: it must be at least 1 and at most 2",
        ),
        (
            mapping(r#"["*"]"#, both, "18446744073709551615"),
            "map: mapping[1]: the threshold is 18446744073709551615",
        ),
        (mapping(r#"["*"]"#, both, "-1"), "map: mapping[1]: invalid value: integer `-1`"),
        (mapping(r#"["*"]"#, both, "\"1\""), "map: mapping[1]: invalid type: string"),
        (mapping(r#"["*"]"#, both, "1, \"treshold\": 2"), "map: mapping[1]: unknown field `treshold`"),
        (mapping(r#"["*", ""]"#, both, "1"), r#"map: mapping[1]: the pattern "" is empty"#),
        (mapping(r#"["/a/*"]"#, both, "1"), r#"map: mapping[1]: the pattern "/a/*" begins with a slash"#),
        (mapping(r#"["a/**"]"#, both, "1"), "map: mapping[1]: the pattern \"a/**\" has a segment **"),
        (mapping(r#"["[a"]"#, both, "1"), "map: mapping[1]: the pattern \"[a\" has a [ that is never closed"),
        (url("[]"), r#"map: repositories["a"]: the list of URLs is empty"#),
        (url(r#""https://a.example/""#), r#"map: repositories["a"]: invalid type: string"#),
        (url(r#"["a.example"]"#), r#"map: repositories["a"]: "a.example" is no URL"#),
        (url(r#"["ftp://u:secret@a.example/"]"#), "a.example/: only http, https and file"),
        (url(r#"["data:x"]"#), "is no URL: it has no // after the scheme"),
        (url(r#"["file://host/x"]"#), r#"map: repositories["a"]: "#),
        (url(r#"["https://a.example/?q"]"#), "it has a query or a fragment"),
        (url(r#"["https://a.example/#f"]"#), "it has a query or a fragment"),
        (url(r#"["https://u:secret@a.example:99999/"]"#), "is no URL"),
        (url(r#"["https://a.example", "https://u:secret@a.example/"]"#), "is given already, for a"),
        (url(r#"["https://Z.example"]"#), "is given already, for a"),
    ];
    for (text, expected) in rows {
        let error = error(&text);
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for field in ["paths", "repositories", "threshold", "terminating"] {
        let mut value: Value = serde_json::from_str(GOOD).unwrap();
        value["mapping"][2].as_object_mut().unwrap().remove(field);
        let error = Map::parse(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("map: mapping[2]: missing field `{field}`"));
        assert_eq!(error.mapping(), Some(2));
    }
}

#[test]
fn a_repository_name_is_not_a_path_and_its_directory_is_one_segment() {
    let long = "é".repeat(43);
    for name in [
        "",
        ".",
        "..",
        "../x",
        "/abs",
        "a/b",
        "a\\b",
        "a\0",
        "a\n",
        "a.",
        "con",
        "NUL.x",
        "lpt1",
        long.as_str(),
    ] {
        let error = error(&with_names(&[name]));
        assert!(error.contains("this cannot be the name of a repository"), "{name:?}: {error}");
    }
    for (name, directory) in [
        ("PyPI", "PyPI"),
        ("a b", "a%20b"),
        ("%2e%2e", "%252e%252e"),
        ("C:", "C%3A"),
        ("é*", "%C3%A9%2A"),
        (".hidden", ".hidden"),
        ("a ", "a%20"),
    ] {
        let map = Map::parse(with_names(&[name]).as_bytes()).unwrap();
        assert_eq!(map.mappings()[0].repositories[0].directory(), directory);
    }
    let error = error(&with_names(&["PyPI", "pypi"]));
    assert!(error.contains("differs from that of PyPI by upper and lower case"), "{error}");
}
