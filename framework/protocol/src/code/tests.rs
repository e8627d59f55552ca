use std::collections::BTreeSet;

use super::*;

#[test]
fn codes_names_and_texts_are_unique_and_in_order() {
    let mut names = BTreeSet::new();
    let mut last = 0;
    for &code in Code::ALL {
        assert!(code.number() > last, "{code} is out of order");
        last = code.number();
        assert!(names.insert(code.name()), "{} is used twice", code.name());
        assert_eq!(code.text(), format!("CB{:04}", code.number()));
        assert_eq!(Code::from_number(code.number()), Some(code));
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(code.name().chars().all(kebab), "{}", code.name());
        for line in [code.meaning(), code.advice()] {
            assert!(
                !line.is_empty() && !line.ends_with('.') && !line.contains('\n'),
                "{line}"
            );
        }
    }
}

#[test]
fn a_code_that_may_have_run_is_never_safe_to_retry_for_every_method() {
    for &code in Code::ALL {
        if code.ran() == Ran::MayHaveRun {
            assert_ne!(code.retry(), Retry::Elsewhere, "{code}");
        } else {
            assert_ne!(code.retry(), Retry::IfIdempotent, "{code}");
        }
    }
}

#[test]
fn numbers_are_stable() {
    let listed: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("{} {}", code.number(), code.name()))
        .collect();
    let golden = include_str!("golden.txt");
    assert_eq!(
        listed.join("\n"),
        golden.trim_end(),
        "a published code must keep its number"
    );
}

#[test]
fn an_error_reads_as_code_name_subject_and_detail() {
    let error = CallError::new(
        Code::DeadlineExceeded,
        "method Greeter/say_hello on node n2",
    );
    assert_eq!(
        error.to_string(),
        format!(
            "CB1001 deadline-exceeded: method Greeter/say_hello on node n2; {}",
            Code::DeadlineExceeded.advice()
        )
    );
    let error = error.with_detail("waited 2 s");
    let text = error.to_string();
    assert!(text.starts_with(
        "CB1001 deadline-exceeded: method Greeter/say_hello on node n2: waited 2 s; "
    ));
    assert_eq!(format!("{error:?}"), text);
    assert_eq!(size_of::<Result<(), CallError>>(), size_of::<usize>());
}

#[test]
fn an_error_may_know_better_what_to_do_and_is_the_same_error_where_it_is_sent_to() {
    let general = CallError::new(Code::NoHost, "method Greeter/say_hello");
    let error = general.clone().with_advice("start the nodes");
    assert_eq!(error.advice(), "start the nodes");
    let text = "CB1005 no-host: method Greeter/say_hello; start the nodes";
    assert_eq!(format!("{error} {error:?}"), format!("{text} {text}"));
    assert_eq!(error, general);
    assert_eq!(general.advice(), Code::NoHost.advice());
}

#[test]
fn debug_adds_what_to_do_since_main_prints_with_it() {
    let error = CallError::new(Code::NoHost, "method Greeter/say_hello");
    let advice = Code::NoHost.advice();
    let text = format!("CB1005 no-host: method Greeter/say_hello; {advice}");
    assert_eq!(format!("{error:?}"), text);
    let wrapped = HandlerError::<std::io::Error>::Call(error);
    assert_eq!(format!("{wrapped:?}"), text);
    assert_eq!(
        format!("{:?}", HandlerError::App("out of stock")),
        "\"out of stock\""
    );
}

#[test]
fn advice_says_what_to_do_and_does_not_point_at_itself() {
    for code in Code::ALL {
        let advice = code.advice();
        assert!(!advice.starts_with("see the detail"), "{code}: {advice}");
        assert!(!advice.is_empty(), "{code}");
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let error = CallError::new(Code::Panicked, "ü".repeat(1000)).with_detail("€".repeat(1000));
    assert_eq!(error.subject(), "ü".repeat(SUBJECT_BYTES_MAX / 2));
    assert_eq!(error.detail(), "€".repeat(DETAIL_BYTES_MAX / 3));
}

#[test]
fn an_error_survives_the_wire() {
    let error = CallError::new(Code::MailboxFull, "actor Cart").with_detail("1024 waiting");
    let bytes = postcard::to_allocvec(&error).expect("encodes");
    assert_eq!(
        postcard::from_bytes::<CallError>(&bytes).expect("decodes"),
        error
    );
}

#[test]
fn a_code_of_a_newer_version_decodes_as_unrecognised_and_keeps_its_number() {
    let bytes = postcard::to_allocvec(&(1777_u16, "actor Cart", "why")).expect("encodes");
    let error: CallError = postcard::from_bytes(&bytes).expect("decodes");
    assert_eq!(error.code(), Code::Unrecognised);
    assert_eq!(error.detail(), "the peer sent CB1777: why");
    let code: Code = postcard::from_bytes(&bytes).expect("decodes");
    assert_eq!(code, Code::Unrecognised);
}

#[test]
fn a_call_error_becomes_a_handler_error_by_question_mark() {
    fn fails() -> Result<(), HandlerError<std::io::Error>> {
        Err(CallError::new(Code::NoHost, "interface Cart"))?
    }
    let error = fails().expect_err("fails");
    assert_eq!(error.code(), Some(Code::NoHost));
    let text = error.to_string();
    assert!(
        text.starts_with("CB1005 no-host: interface Cart; "),
        "{text}"
    );
    assert_eq!(
        HandlerError::App("out of stock").to_string(),
        "out of stock"
    );
    assert_eq!(HandlerError::App("out of stock").code(), None);
}
