//! `user` and `group`: who a process runs as. Pure.

use toml::de::DeValue;

use super::declare::{Form, Key, Shape};
use super::kinds::{Kind, kind};
use super::reader::{Field, Reader};
use super::values;
use crate::config::problem::Span;

/// Who a process runs as. Names are resolved when it first starts, so that they may come from a file an init
/// task writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A name from /etc/passwd or a number.
    pub user: Option<String>,
    /// A name from /etc/group or a number; default: the user's own group.
    pub group: Option<String>,
    /// Further groups beside those that the user has: names or numbers.
    pub supplementary: Vec<String>,
}

impl Identity {
    /// Somebody else than softstop.
    pub fn is_another(&self) -> bool {
        *self != Identity::default()
    }
}

kind! {
    /// A name, or a number with quotes or without.
    Account: String = read_account, &Shape::Any(&[
        &Shape::Text(Form { name: "string", pattern: r"\S+", examples: &["\"www-data\"", "\"1000\""] }),
        &Shape::Integer(0, 4_294_967_294),
    ])
}

fn read_account(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<String> {
    if let DeValue::Integer(n) = field.value.get_ref() {
        let number = i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n.to_string());
        if number.is_none() {
            let sentence = format!("`{}` must be a whole number from 0 to 4294967294", field.name);
            reader.error(&field.span(), sentence, "write \"www-data\" or a number such as 1000");
        }
        return number;
    }
    reader.text(field, "write a name or a number, such as \"www-data\" or 1000")
}

kind! {
    /// Several.
    Accounts: Vec<String> = read_accounts, &Shape::Array(Account::SHAPE)
}

fn read_accounts(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<String>> {
    let elements = reader.elements(field, "an array of groups", "write {name} = [\"video\", 1000]")?;
    let read = elements.iter().filter_map(|element| {
        let text = Account::read(reader, element, "")?;
        reader.allowed(&element.span(), values::account(&text))
    });
    Some(read.collect())
}

/// `"user"`, `"user:group"`, a number.
pub fn user_and_group(reader: &mut Reader<'_>, text: &str, span: &Span) -> Identity {
    let mut account = |text: &str| reader.allowed(span, values::account(text));
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    Identity { user: account(user), group: group.and_then(account), supplementary: Vec::new() }
}

/// Of `user`, `group` and `supplementary_groups`.
pub fn identity(
    reader: &mut Reader<'_>,
    user: &Key<'_, Account>,
    group: &Key<'_, Account>,
    supplementary: &Key<'_, Accounts>,
) -> Identity {
    let (more, place_of_more) = (supplementary.read(reader).unwrap_or_default(), supplementary.span());
    let text = |reader: &mut Reader<'_>, key: &Key<'_, Account>| Some((key.read(reader)?, key.span()?));
    let (user, group) = (text(reader, user), text(reader, group));
    let mut identity = Identity::default();
    if let Some((text, span)) = &user {
        identity = user_and_group(reader, text, span);
        if let (true, Some((_, second))) = (text.contains(':'), &group) {
            reader.error(second, "the group is given twice: in `user` and in `group`", "leave one of them out");
        }
    }
    if let Some((text, span)) = &group {
        identity.group = reader.allowed(span, values::account(text));
    }
    identity.supplementary = more;
    let place = user.as_ref().or(group.as_ref()).map(|(_, span)| span.clone()).or(place_of_more);
    if let Some(span) = place {
        reader.expect_identity(&span, &identity);
    }
    identity
}
