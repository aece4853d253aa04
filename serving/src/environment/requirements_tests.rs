use proptest::prelude::*;

use super::*;

fn packages(text: &str) -> Vec<String> {
    Requirements::parse(text).expect("requirements").packages
}

fn problem(text: &str) -> RequirementProblem {
    Requirements::parse(text).expect_err("refused").problem
}

#[test]
fn requirements_are_brought_to_one_form() {
    for (written, normal) in [
        ("NumPy", "numpy"),
        ("zope.interface  >= 5 , <6", "zope-interface<6,>=5"),
        ("requests[Socks, security] (>=2)", "requests[security,socks]>=2"),
        ("torch==2.9.0+CPU", "torch==2.9.0+cpu"),
        (
            "pandas; python_version<'3.12'and sys_platform == \"linux\"",
            "pandas ; python_version < \"3.12\" and sys_platform == \"linux\"",
        ),
        (
            "pkg@ https://host/a;b.whl#sha256=00 ; os_name=='posix'",
            "pkg @ https://host/a;b.whl#sha256=00 ; os_name == \"posix\"",
        ),
        ("pkg == 1.* # why", "pkg==1.*"),
        ("pkg==1 --hash=sha256:bb \\\n  --hash=sha256:aa", "pkg==1 --hash=sha256:aa --hash=sha256:bb"),
        ("git-pkg @ git+ssh://git@github.com/x/y", "git-pkg @ git+ssh://git@github.com/x/y"),
        ("own @ https://u:${TOKEN}@host/x.whl", "own @ https://u:${TOKEN}@host/x.whl"),
    ] {
        assert_eq!(packages(written), [normal], "{written}");
    }
}

#[test]
fn lines_are_sorted_joined_and_counted() {
    assert_eq!(packages("b\n\n# c\r\na==\\\n1\nB\n"), ["a==1", "b"]);
    let error = Requirements::parse("a\n\n# x\nb ==\\\n1,\n").expect_err("refused");
    assert_eq!(error.line, 4);
    assert!(error.to_string().starts_with("line 4: `b ==1,` is not a requirement"), "{error}");
}

#[test]
fn options_have_one_form_and_keep_their_order() {
    let parsed =
        Requirements::parse("-i https://b/simple\nnumpy\n--extra-index-url=https://a/simple\n--pre").expect("options");
    assert_eq!(parsed.options, ["--index-url https://b/simple", "--extra-index-url https://a/simple", "--pre"]);
    assert_eq!(parsed.text(), "--index-url https://b/simple\n--extra-index-url https://a/simple\n--pre\nnumpy\n");
    assert_eq!(problem("--index-url"), RequirementProblem::OptionValue("--index-url".into()));
    assert_eq!(problem("--user"), RequirementProblem::Option("--user".into()));
    assert_eq!(problem("--pre x"), RequirementProblem::Option("--pre x".into()));
}

#[test]
fn references_to_files_are_refused() {
    for text in [
        "-r other.txt",
        "-rother.txt",
        "--requirement=other.txt",
        "-c limits.txt",
        "-e .",
        "./wheel.whl",
        "../x",
        "/abs/x.whl",
        "dir/wheel.whl",
        "pkg @ file:///x.whl",
        "pkg @ ./x.whl",
        "--find-links wheels",
        "file:///x.whl",
    ] {
        assert!(matches!(problem(text), RequirementProblem::NotSelfContained(_)), "{text}");
    }
}

#[test]
fn what_is_not_a_requirement_is_refused() {
    for text in
        ["==1", "a b", "a=1", "a==", "a>=1,", "a[x", "a[x y]", "a ; ", "a; x == 'y", "a @ ", "ä", "a==1 2", "a (>=1"]
    {
        assert!(matches!(problem(text), RequirementProblem::Syntax(_)), "{text}");
    }
    assert_eq!(problem("a==1 --global-option=x"), RequirementProblem::Option("--global-option=x".into()));
}

#[test]
fn literal_credentials_are_refused_and_never_shown() {
    for text in [
        "--index-url https://ann:hunter2@host/simple",
        "--extra-index-url https://hunter2@host/simple",
        "pkg @ git+https://hunter2@github.com/x/y",
    ] {
        let error = Requirements::parse(text).expect_err("refused");
        assert_eq!(error.problem, RequirementProblem::Credential, "{text}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn oversized_texts_are_refused_before_they_are_read() {
    assert_eq!(problem(&"#".repeat(MAX_DEFINITION_BYTES + 1)), RequirementProblem::TooLarge);
}

proptest! {
    #[test]
    fn the_normal_form_is_its_own_normal_form(text in "([a-zA-Z0-9._-]{1,8}( ?(==|>=|<|~=) ?[0-9.a]{1,4})?( ?; ?os_name ?== ?'[a-z]*')?( # [a-z]*)?\n){0,6}") {
        if let Ok(parsed) = Requirements::parse(&text) {
            prop_assert_eq!(Requirements::parse(&parsed.text()), Ok(parsed));
        }
    }

    #[test]
    fn no_text_at_all_makes_the_parser_fail(text in any::<String>()) {
        let _ = Requirements::parse(&text);
    }
}
