//! Every mistake of a file is reported, with its line, its key and its cure.
#![cfg(test)]

use ungraceful_scenario::parse;

/// The mistakes of a scenario that begins with these lines, each as text.
fn mistakes(source: &str) -> Vec<String> {
    let found = parse(source).expect_err("the scenario is wrong");
    found.iter().map(ToString::to_string).collect()
}

/// A scenario with these steps and what follows.
fn with_steps(rest: &str) -> String {
    format!("id = \"x\"\nabout = \"y\"\n{rest}")
}

/// Asserts that the scenario has one mistake, which says all of this.
fn assert_mistake(source: &str, expected: &[&str]) {
    let found = mistakes(source);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in expected {
        assert!(found[0].contains(part), "{:?} lacks {part:?}", found[0]);
    }
}

const CONNECT: &str = "[[step]]\nconnect = {}\n";

#[test]
fn all_mistakes_are_reported_in_the_order_of_lines() {
    let found = mistakes(
        "id = \"Bad Id\"\nversion = [\"5.0\"]\n[[step]]\nsend = { publish = { topik = \"a\", qos = 4 } }\n[[expect]]\ncloses = true\n",
    );
    let expected = [
        "line 1: about is missing",
        "line 1: id: \"Bad Id\" is no name: write lower-case words",
        "line 2: version: unknown key; did you mean versions?",
        "line 4: step[1].send.publish.qos: out of range: write 0 to 3",
        "line 4: step[1].send.publish.topik: unknown key; did you mean topic?",
        "line 5: expect[1]: say how strongly it is demanded",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
}

#[test]
fn what_is_no_toml_names_the_line() {
    assert_mistake("id = \"x\"\nabout = = 1\n", &["line 2", "no TOML"]);
}

#[test]
fn a_step_does_exactly_one_thing() {
    assert_mistake(
        &with_steps("[[step]]\nclient = \"b\"\n"),
        &["line 3: step[1]", "nothing to do: add one of open"],
    );
    let both = with_steps("[[step]]\npause = \"1s\"\nend = \"fin\"\n");
    assert_mistake(&both, &["pause and end exclude each other"]);
    let wrong = with_steps("[[step]]\nend = \"fim\"\n");
    assert_mistake(
        &wrong,
        &["line 4: step[1].end", "none of fin, rst, half-close, stop-reading", "did you mean \"fin\"?"],
    );
    assert_mistake(&with_steps("[[step]]\npause = \"2\"\n"), &["\"2\" is no time", "500ms"]);
    assert_mistake(
        &with_steps("[[step]]\nconnect = {}\nsplit = 1\n[[step]]\nend = \"fin\"\n"),
        &["apply to send only"],
    );
}

#[test]
fn values_of_other_kinds_are_rejected() {
    let publish =
        |field: &str| with_steps(&format!("{CONNECT}[[step]]\nsend = {{ publish = {{ {field} }} }}\n"));
    assert_mistake(
        &publish("qos = true"),
        &["line 6: step[2].send.publish.qos", "write a number from 0 to 3"],
    );
    assert_mistake(&publish("topic = 5"), &["send.publish.topic", "hex = "]);
    assert_mistake(&publish("topic = { hex = \"C3 2\" }"), &["no hexadecimal"]);
    assert_mistake(&publish("topic = \"{Topic}\""), &["no variable after {"]);
    assert_mistake(
        &publish("properties = [{ topic_alia = 1 }]"),
        &["no such property; did you mean topic_alias?"],
    );
    assert_mistake(&publish("properties = [{ topic_alias = 70000 }]"), &["out of range: write 0 to 65535"]);
    assert_mistake(&publish("properties = { topic_alias = 1 }"), &["write a list of properties"]);
}

#[test]
fn variables_must_exist_and_fit() {
    let topic = with_steps("[[step]]\nsend = { publish = { topic = \"{nope}\" } }\n");
    assert_mistake(&topic, &["case plain, MQTT 3.1.1", "step 1", "no variable {nope}"]);
    let cases = "[[case]]\nname = \"a\"\nqos = 9\n[[step]]\nsend = { publish = { topic = \"t\", qos = \"{qos}\" } }\n";
    assert_mistake(&with_steps(cases), &["case a", "9 is out of range: 0 to 3"]);
    let taken = "[[case]]\nname = \"a\"\ntopic = \"x\"\n[[step]]\nend = \"fin\"\n";
    assert_mistake(&with_steps(taken), &["line 5: case[1].topic", "choose another"]);
}

#[test]
fn a_statement_is_named_with_its_version() {
    let expect = |must: &str| {
        with_steps(&format!("[[step]]\nend = \"fin\"\n[[expect]]\ncloses = true\nmust = {must}\n"))
    };
    assert_mistake(&expect("\"MQTT-9.9.9-9\""), &["line 7: expect[1].must", "is unknown"]);
    assert_mistake(&expect("\"MQTT-3.1.0-2\""), &["both versions number their statements alike", "v311"]);
    assert_mistake(&expect("{ v4 = \"MQTT-3.1.0-2\" }"), &["the keys are v5 and v311"]);
    assert!(parse(&expect("{ v5 = \"MQTT-3.1.0-2\" }")).is_ok());
}

#[test]
fn expectations_that_exclude_each_other_are_rejected() {
    let both = "[[step]]\nend = \"fin\"\n[[expect]]\ncloses = true\nmay = \"x\"\n[[expect]]\nstays = true\nmay = \"x\"\n";
    assert_mistake(&with_steps(both), &["closes and stays exclude each other"]);
    let twice = "[[step]]\nend = \"fin\"\n[[expect]]\ncloses = true\nmay = \"x\"\n[[expect]]\ncloses = true\nmay = \"y\"\n";
    assert_mistake(&with_steps(twice), &["closes is expected twice"]);
    let forces = "[[step]]\nend = \"fin\"\n[[expect]]\ncloses = true\nmay = \"x\"\nprose = \"y\"\n";
    assert_mistake(&with_steps(forces), &["may and prose exclude each other"]);
    let code = "[[step]]\nend = \"fin\"\n[[expect]]\ndisconnect = [0x81]\nmust = { v5 = \"MQTT-3.1.0-2\" }\n";
    assert_mistake(&with_steps(code), &["no MUST"]);
}

#[test]
fn a_will_is_watched_and_a_served_client_is_connected() {
    let will = |will: &str| {
        with_steps(&format!(
            "[[step]]\nconnect = {{ {will} }}\n[[step]]\nend = \"rst\"\n[[expect]]\nwill = \"published\"\nmay = \"x\"\n"
        ))
    };
    assert!(parse(&will("will = {}")).is_ok() && parse(&will("will = { topic = \"{will}\" }")).is_ok());
    assert_mistake(&will("will = { topic = \"{topic}\" }"), &["the witness waits at the topic {will}"]);
    assert_mistake(&will(""), &["no CONNECT of a step has a Will"]);
    let stays = |end: &str| {
        with_steps(&format!(
            "[[step]]\nconnect = {{}}\n{end}[[step]]\nsend = {{ pingreq = {{}} }}\n[[expect]]\nstays = true\nmay = \"x\"\n"
        ))
    };
    assert!(parse(&stays("")).is_ok());
    assert_mistake(&stays("[[step]]\nend = \"fin\"\n"), &["the client has ended its connection"]);
    assert_mistake(
        &stays("[[step]]\nsend = { disconnect = {} }\n"),
        &["the client has ended its connection"],
    );
}

#[test]
fn a_scenario_has_something_to_do_and_few_clients() {
    assert_mistake(&with_steps(""), &["there are no steps"]);
    assert_mistake(&with_steps("[[step]]\npause = \"1s\"\n"), &["nothing provokes"]);
    let step = |client: &str| format!("[[step]]\nclient = \"{client}\"\nend = \"fin\"\n");
    let many: String = ["a", "b", "d"].map(step).concat();
    assert!(parse(&with_steps(&many)).is_ok());
    assert_mistake(&with_steps(&(many + &step("e") + &step("c"))), &["at most 3"]);
}
