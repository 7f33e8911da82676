//! From what an older version wrote to what this one reads.

use serde_json::Value;

/// Makes of a file's content that of the next version.
pub(crate) type Step = fn(&mut Value);

/// The step from version 1 to 2 comes first. A new field needs none, for what a file does not say is as in the default; a
/// field with another name or meaning does.
pub(crate) const STEPS: &[Step] = &[];

/// Takes the steps that are missing. The content is said to be of this `version`, 1 for the first.
pub(crate) fn migrate(content: &mut Value, version: usize, steps: &[Step]) {
    for step in &steps[version - 1..] {
        step(content);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_version_takes_the_steps_after_it() {
        let steps: &[Step] =
            &[|content| content["port"] = json!(2), |content| content["gate"] = content["port"].take()];
        let migrated = |version| {
            let mut content = json!({ "port": 1 });
            migrate(&mut content, version, steps);
            content
        };
        assert_eq!(migrated(1), json!({ "port": null, "gate": 2 }));
        assert_eq!(migrated(2), json!({ "port": null, "gate": 1 }));
        assert_eq!(migrated(3), json!({ "port": 1 }));
    }
}
