//! docs/softstop.schema.json (JSON Schema, draft 7, as editors of TOML read it), and a checker for as much of that as stands in it.

use std::collections::HashMap;

use regex_lite::Regex;
use serde_json::{Map, Value, json};
use softstop::config::check::declare::{Described, Row, Shape};
use softstop::config::check::explained::meaning;
use softstop::config::check::tables;

/// A string with a variable in it may be anything.
const VARIABLE: &str = r"\$\{";
const DURATION: &str = r"\s*(0|([0-9.]+\s*[A-Za-zµ]+\s*)+)";

pub fn schema() -> Value {
    let tables = tables();
    let (top, others) = tables.split_first().expect("there is the top");
    let mut root = object(top);
    let definitions: Map<String, Value> = others.iter().map(|table| (name(table), object(table))).collect();
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["title"] = "A configuration of softstop".into();
    root["definitions"] = definitions.into();
    root
}

/// `[http.prestop]` is `http.prestop`, `a task` is `task`.
fn name(table: &Described) -> String {
    let bare = table.section.title.trim_matches(['[', ']']);
    bare.strip_prefix("a ").unwrap_or(bare).replace(' ', "_")
}

fn object(table: &Described) -> Value {
    let rows = table.rows();
    let properties: Map<String, Value> = rows.iter().map(|row| (row.name.to_owned(), property(row))).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let required: Vec<&str> = rows.iter().filter(|row| row.required).map(|row| row.name).collect();
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    if !table.one_of.is_empty() {
        object["oneOf"] = table.one_of.iter().map(|key| json!({ "required": [key] })).collect();
    }
    object
}

fn property(row: &Row) -> Value {
    let mut property = match of(row.shape) {
        // What stands beside a `$ref` is not looked at.
        reference if reference.get("$ref").is_some() => json!({ "allOf": [reference] }),
        other => other,
    };
    let said = without_links(&meaning(row));
    if !said.is_empty() {
        property["description"] = said.into();
    }
    if let Some(shown) = row.default.first() {
        property["default"] = serde_json::from_str(&shown()).expect("a default is JSON, too");
    }
    property
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer(min, max) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, variable()] })
        }
        Shape::Number => json!({ "anyOf": [{ "type": "number" }, variable()] }),
        Shape::Duration(_) => text(DURATION),
        Shape::Words(words) => json!({ "anyOf": [{ "enum": words() }, variable()] }),
        Shape::Text(form) => text(form.pattern),
        Shape::Array(of_what) => json!({ "type": "array", "items": of(of_what) }),
        Shape::Any(shapes) => json!({ "anyOf": shapes.iter().map(|shape| of(shape)).collect::<Vec<_>>() }),
        Shape::Table(table) => json!({ "$ref": format!("#/definitions/{}", name(table)) }),
        Shape::Tables(table) => {
            json!({ "type": "array", "items": { "$ref": format!("#/definitions/{}", name(table)) } })
        }
        Shape::Map(key, of_what) if key.pattern.is_empty() => {
            json!({ "type": "object", "additionalProperties": of(of_what) })
        }
        Shape::Map(key, of_what) => {
            let whole = format!("^(?:{})$", key.pattern);
            json!({ "type": "object", "additionalProperties": false, "patternProperties": { whole: of(of_what) } })
        }
    }
}

fn text(pattern: &str) -> Value {
    match pattern {
        "" => json!({ "type": "string" }),
        _ => json!({ "type": "string", "pattern": format!("^(?:{pattern})$|{VARIABLE}") }),
    }
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

/// Links of the page lead nowhere from an editor.
fn without_links(text: &str) -> String {
    let more = Regex::new(r":? \[more\]\([^)]*\)").expect("it is one");
    // `[[socket]]` may be linked, too.
    let link = Regex::new(r"\[([^\[\]]*|`\[+[^\[\]]*\]+`)\]\([^)]*\)").expect("it is one");
    link.replace_all(&more.replace_all(text, ""), "$1").into_owned()
}

/// Holds values against a schema.
pub struct Checker {
    schema: Value,
    patterns: std::cell::RefCell<HashMap<String, Regex>>,
}

impl Checker {
    pub fn new(schema: Value) -> Checker {
        Checker { schema, patterns: HashMap::new().into() }
    }

    /// Whether the text of a configuration is as the schema has it; `None`: it is no TOML.
    pub fn accepts(&self, text: &str) -> Option<bool> {
        let table: toml::Table = text.parse().ok()?;
        Some(self.holds(&self.schema, &value(&toml::Value::Table(table))))
    }

    /// Whether a value is as the schema has it.
    #[allow(dead_code, reason = "each target uses a part")]
    pub fn holds_json(&self, value: &Value) -> bool {
        self.holds(&self.schema, value)
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let all = |list: &Value| list.as_array().expect("an array").iter().filter(|s| self.holds(s, value)).count();
        let rules = schema.as_object().expect("a schema is an object");
        rules.iter().all(|(rule, arg)| match rule.as_str() {
            "$ref" => {
                let path = arg.as_str().and_then(|to| to.strip_prefix('#')).expect("a place in this schema");
                self.holds(self.schema.pointer(path).expect("it is there"), value)
            }
            "type" => match arg.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64(),
                "null" => value.is_null(),
                "number" => value.is_number(),
                other => panic!("{other}"),
            },
            "enum" => arg.as_array().expect("an array").contains(value),
            "minimum" => value.as_i64().is_none_or(|n| Some(n) >= arg.as_i64()),
            "maximum" => value.as_i64().is_none_or(|n| Some(n) <= arg.as_i64()),
            "pattern" => value.as_str().is_none_or(|text| self.matches(arg.as_str().expect("a pattern"), text)),
            "allOf" => Some(all(arg)) == arg.as_array().map(Vec::len),
            "anyOf" => all(arg) > 0,
            "oneOf" => all(arg) == 1,
            "items" => value.as_array().is_none_or(|list| list.iter().all(|one| self.holds(arg, one))),
            "required" => value.as_object().is_none_or(|o| {
                arg.as_array().expect("keys").iter().all(|k| o.contains_key(k.as_str().expect("a key")))
            }),
            "properties" | "patternProperties" | "additionalProperties" => {
                // All three are one rule: they are looked at once.
                rule != "additionalProperties"
                    || value.as_object().is_none_or(|o| o.iter().all(|(k, v)| self.property(rules, k, v)))
            }
            "$schema" | "title" | "description" | "default" | "definitions" => true,
            other => panic!("the checker does not know {other:?}"),
        })
    }

    fn property(&self, rules: &Map<String, Value>, key: &str, value: &Value) -> bool {
        let named = rules.get("properties").and_then(|all| all.get(key));
        let by_pattern = || {
            let all = rules.get("patternProperties")?.as_object()?;
            all.iter().find(|(pattern, _)| self.matches(pattern, key)).map(|(_, schema)| schema)
        };
        match (named.or_else(by_pattern), &rules["additionalProperties"]) {
            (Some(schema), _) => self.holds(schema, value),
            (None, Value::Bool(any)) => *any,
            (None, schema) => self.holds(schema, value),
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        if let Some(compiled) = patterns.get(pattern) {
            return compiled.is_match(text);
        }
        let compiled = Regex::new(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        patterns.entry(pattern.to_owned()).or_insert(compiled).is_match(text)
    }
}

/// What JSON has no word for is `null`, which is nowhere right.
fn value(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(n) => (*n).into(),
        toml::Value::Float(n) => serde_json::Number::from_f64(*n).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(b) => (*b).into(),
        toml::Value::Datetime(_) => Value::Null,
        toml::Value::Array(list) => list.iter().map(self::value).collect(),
        toml::Value::Table(table) => {
            table.iter().map(|(k, v)| (k.clone(), self::value(v))).collect::<Map<_, _>>().into()
        }
    }
}
