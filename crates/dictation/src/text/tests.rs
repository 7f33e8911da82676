use proptest::prelude::*;

use super::*;

fn english() -> TextRules {
    TextRules { language: "en".to_owned(), ..TextRules::default() }
}

#[test]
fn without_rules_nothing_changes_but_spaces() {
    assert_eq!(TextRules::default().apply("  So, um: \"comma\" (as  it were). "), "So, um: \"comma\" (as it were).");
    assert_eq!(TextRules::default().finish("Text".to_owned()), "Text");
    assert_eq!(TextRules::default().apply(""), "");
}

#[test]
fn fillers_go_and_their_sentence_stays_whole() {
    let rules = TextRules { without_fillers: true, ..english() };
    assert_eq!(rules.apply("So, um, I think, uh, not."), "So, I think, not.");
    assert_eq!(rules.apply("Um, we should go. Erm... now"), "We should go. Now");
    assert_eq!(rules.apply("That is it, hmm."), "That is it.");
    assert_eq!(rules.apply("Um."), "");
    assert_eq!(rules.apply("The umbrella of the Uhlan"), "The umbrella of the Uhlan");
    let german = TextRules { language: "de".to_owned(), ..rules };
    assert_eq!(german.apply("Er kommt, \u{e4}hm, gleich."), "Er kommt, gleich.");
}

#[test]
fn names_are_spelt_as_they_are_wanted() {
    let vocabulary = ["Amanuensis", "Svelte", "XDNA2", "Ryzen AI", "Anna"].map(str::to_owned).to_vec();
    let rules = TextRules { vocabulary, ..english() };
    assert_eq!(rules.apply("Open amanuenses, please."), "Open Amanuensis, please.");
    assert_eq!(rules.apply("A manuensis is written in svelt."), "Amanuensis is written in Svelte.");
    assert_eq!(rules.apply("The X DNA 2 in \"rising AI\""), "The XDNA2 in \"rising AI\"");
    assert_eq!(rules.apply("a ryzen ai, then Anne and ANNA"), "a Ryzen AI, then Anne and Anna");
    assert_eq!(rules.apply("ryzen, ai"), "ryzen, ai");
    assert_eq!(rules.prompt().unwrap(), "Amanuensis, Svelte, XDNA2, Ryzen AI, Anna.");
    let only_prompt = TextRules { without_correction: true, ..rules };
    assert_eq!(only_prompt.apply("Open amanuenses, please."), "Open amanuenses, please.");
    assert!(only_prompt.prompt().is_some());
    assert_eq!(TextRules::default().prompt(), None);
}

#[test]
fn marks_are_written_for_their_names() {
    let rules = TextRules { spoken_punctuation: true, ..english() };
    assert_eq!(rules.apply("Hello comma how are you question mark fine"), "Hello, how are you? Fine");
    assert_eq!(rules.apply("Hello, comma, how are you, question mark?"), "Hello, how are you?");
    assert_eq!(rules.apply("dear Anna new paragraph i am well period new line bye"), "dear Anna\n\nI am well.\nBye");
    assert_eq!(
        rules.apply("say open quote yes close quote and open bracket no close bracket"),
        "say \u{201c}yes\u{201d} and (no)"
    );
    assert_eq!(rules.apply("well hyphen known"), "well-known");
    assert_eq!(rules.apply("a full moon and a full stop"), "a full moon and a.");
    let french = TextRules { language: "fr".to_owned(), ..rules.clone() };
    assert_eq!(french.apply("\u{c7}a va point d'interrogation oui point"), "\u{c7}a va\u{a0}? oui.");
    let italian = TextRules { language: "it".to_owned(), ..rules.clone() };
    assert_eq!(italian.apply("Ciao virgola come va punto interrogativo bene a capo"), "Ciao, come va? Bene\n");
    let portuguese = TextRules { language: "pt".to_owned(), ..rules.clone() };
    assert_eq!(portuguese.apply("Oi v\u{ed}rgula tudo bem ponto de interroga\u{e7}\u{e3}o"), "Oi, tudo bem?");
    let unknown = TextRules { language: "tlh".to_owned(), ..rules };
    assert_eq!(unknown.apply("comma"), "comma");
}

#[test]
fn phrases_are_replaced_whole_and_once() {
    let replace = |from: &str, to: &str| Replacement { from: from.to_owned(), to: to.to_owned() };
    let replacements = vec![
        replace("my address", "12 High Street\nOxford"),
        replace("my", "our"),
        replace("e mail", "email"),
        replace("our", "wrong"),
        replace(" ", "nothing"),
    ];
    let rules = TextRules { replacements, ..english() };
    assert_eq!(rules.apply("Send it to (My address), by E-mail."), "Send it to (12 High Street\nOxford), by E-mail.");
    assert_eq!(rules.apply("by e mail to my friend"), "by email to our friend");
    assert_eq!(rules.apply("myself"), "myself");
}

#[test]
fn sentences_begin_with_capitals() {
    let rules = TextRules { capitals: Capitals::Sentences, ..english() };
    assert_eq!(rules.apply("yes. \"so it is!\" he said. 3.5 m wide? ok"), "Yes. \"So it is!\" He said. 3.5 m wide? Ok");
    assert_eq!(rules.apply("\u{e9}t\u{e9}"), "\u{c9}t\u{e9}");
    assert_eq!(rules.apply("version 2.x runs"), "Version 2.x runs");
}

#[test]
fn a_dictation_ends_with_a_space_where_one_is_wanted() {
    let rules = TextRules { trailing_space: true, ..english() };
    assert_eq!(rules.finish("Yes.".to_owned()), "Yes. ");
    assert_eq!(rules.finish("Yes.\n".to_owned()), "Yes.\n");
    assert_eq!(rules.finish(String::new()), "");
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}", word in "\\PC{0,6}") {
        let rules = TextRules {
            without_fillers: true,
            spoken_punctuation: true,
            vocabulary: vec![word.clone()],
            replacements: vec![Replacement { from: word.clone(), to: word }],
            capitals: Capitals::Sentences,
            trailing_space: true,
            ..english()
        };
        let _ = rules.finish(rules.apply(&text));
    }

    #[test]
    fn words_that_no_rule_knows_stay(words in prop::collection::vec("[a-z]{3,8}", 1..10)) {
        let rules = TextRules { without_fillers: true, vocabulary: vec!["Zzyzx-Zzyzx".to_owned()], ..english() };
        let known = ["umm", "uhh", "uhm", "erm", "hmm", "mmm"];
        prop_assume!(!words.iter().any(|word| known.contains(&word.as_str())));
        prop_assert_eq!(rules.apply(&words.join(" ")), words.join(" "));
    }
}
