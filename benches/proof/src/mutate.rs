//! Seeded faults: every source of the core is rewritten so that it holds all of its mutants at once and a number chooses which
//! of them is in force. So one build serves all of them, and a mutant costs a run, not a compilation.

use std::collections::BTreeSet;

use proc_macro2::Span;
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Arm, BinOp, Block, Expr, Lit, Stmt, UnOp, parse_quote};

/// One small change of meaning.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub id: u32,
    pub file: String,
    /// In the source as it stands.
    pub line: usize,
    pub function: String,
    pub from: String,
    pub to: String,
}

impl Mutant {
    /// What it is known by whatever lines move.
    pub fn key(&self) -> String {
        format!("{}: {}: {} => {}", self.file, self.function, self.from, self.to)
    }
}

pub struct Mutator<'a> {
    file: String,
    function: Vec<String>,
    /// Those that do not compile.
    without: &'a BTreeSet<u32>,
    next: &'a mut u32,
    mutants: &'a mut Vec<Mutant>,
}

/// The source with its mutants in it.
pub fn mutate(
    file: &str,
    source: &str,
    without: &BTreeSet<u32>,
    next: &mut u32,
    mutants: &mut Vec<Mutant>,
) -> Result<String, syn::Error> {
    let mut tree = syn::parse_file(source)?;
    let mut mutator = Mutator { file: file.to_string(), function: Vec::new(), without, next, mutants };
    mutator.visit_file_mut(&mut tree);
    Ok(prettyplease::unparse(&tree))
}

fn text(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    let mut short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [(" . ", "."), (" (", "("), ("( ", "("), (" )", ")"), (" :: ", "::"), (" ,", ","), ("& ", "&")] {
        short = short.replace(from, to);
    }
    if short.chars().count() > 90 { format!("{}…", short.chars().take(90).collect::<String>()) } else { short }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(b) => has_let(&b.left) || has_let(&b.right),
        Expr::Paren(p) => has_let(&p.expr),
        _ => false,
    }
}

fn binary(expr: &syn::ExprBinary, op: BinOp) -> Expr {
    Expr::Binary(syn::ExprBinary { op, ..expr.clone() })
}

/// Another operator for this one.
fn operators(op: &BinOp) -> Vec<BinOp> {
    match op {
        BinOp::Lt(_) => vec![parse_quote!(<=), parse_quote!(>=)],
        BinOp::Le(_) => vec![parse_quote!(<), parse_quote!(>)],
        BinOp::Gt(_) => vec![parse_quote!(>=), parse_quote!(<=)],
        BinOp::Ge(_) => vec![parse_quote!(>), parse_quote!(<)],
        BinOp::Eq(_) => vec![parse_quote!(!=)],
        BinOp::Ne(_) => vec![parse_quote!(==)],
        BinOp::And(_) => vec![parse_quote!(||)],
        BinOp::Or(_) => vec![parse_quote!(&&)],
        BinOp::Add(_) => vec![parse_quote!(-)],
        BinOp::Sub(_) => vec![parse_quote!(+)],
        BinOp::Mul(_) => vec![parse_quote!(/)],
        BinOp::Div(_) => vec![parse_quote!(*)],
        BinOp::AddAssign(_) => vec![parse_quote!(-=)],
        BinOp::BitOrAssign(_) => vec![parse_quote!(&=)],
        _ => Vec::new(),
    }
}

/// Methods that are easily taken for one another.
const SWAPPED: &[(&str, &str)] = &[
    ("min", "max"),
    ("any", "all"),
    ("is_some", "is_none"),
    ("is_empty", "is_zero"),
    ("saturating_add", "saturating_sub"),
    ("is_some_and", "is_none_or"),
    ("first", "last"),
    ("min_by_key", "max_by_key"),
];

fn variants(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Binary(_) if has_let(expr) => Vec::new(),
        Expr::Binary(b) => operators(&b.op).into_iter().map(|op| binary(b, op)).collect(),
        Expr::Unary(u) if matches!(u.op, UnOp::Not(_)) => vec![(*u.expr).clone()],
        Expr::Macro(m) if m.mac.path.is_ident("matches") => vec![parse_quote!(!#expr)],
        Expr::Lit(l) => match &l.lit {
            Lit::Bool(b) => {
                let other = !b.value;
                vec![parse_quote!(#other)]
            }
            Lit::Int(i) => i.base10_parse::<u64>().map_or_else(
                |_| Vec::new(),
                |n| {
                    let more = syn::LitInt::new(&format!("{}{}", n + 1, i.suffix()), i.span());
                    vec![parse_quote!(#more)]
                },
            ),
            _ => Vec::new(),
        },
        Expr::MethodCall(call) => {
            let name = call.method.to_string();
            let other = SWAPPED.iter().find_map(|(a, b)| match name.as_str() {
                n if n == *a => Some(*b),
                n if n == *b => Some(*a),
                _ => None,
            });
            let swap = |other: &str| {
                let method = syn::Ident::new(other, call.method.span());
                Expr::MethodCall(syn::ExprMethodCall { method, ..call.clone() })
            };
            other.map(swap).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

impl Mutator<'_> {
    /// A number for one mutant; `None`: it is one of those that do not compile.
    fn register(&mut self, span: Span, from: &impl ToTokens, to: &str) -> Option<u32> {
        let id = *self.next;
        *self.next += 1;
        if self.without.contains(&id) {
            return None;
        }
        let (file, function) = (self.file.clone(), self.function.join("::"));
        self.mutants.push(Mutant { id, file, line: span.start().line, function, from: text(from), to: to.into() });
        Some(id)
    }

    fn choose(&mut self, original: &Expr, expr: &mut Expr, variants: Vec<Expr>) {
        let arms: Vec<_> = variants
            .into_iter()
            .filter_map(|variant| {
                let id = self.register(original.span(), original, &text(&variant))?;
                Some(quote!(#id => #variant,))
            })
            .collect();
        if !arms.is_empty() {
            let rest = expr.clone();
            *expr = parse_quote!((match crate::mutant::at() { #(#arms)* _ => #rest }));
        }
    }

    /// `original`: as it stands in the source, before there were mutants in it.
    fn choose_condition(&mut self, original: &Expr, cond: &mut Expr, others: &[bool]) {
        // A condition that is a literal or has a `let` in it has been seen to, or cannot be.
        if has_let(original) || matches!(original, Expr::Lit(_)) {
            return;
        }
        self.choose(original, cond, others.iter().map(|b| parse_quote!(#b)).collect());
    }
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|a| a.path().is_ident("cfg") && a.to_token_stream().to_string().contains("test"))
}

impl VisitMut for Mutator<'_> {
    fn visit_item_mod_mut(&mut self, item: &mut syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit_mut::visit_item_mod_mut(self, item);
        }
    }

    // What is worked out by the compiler cannot be chosen at run time; what is only words is not a decision.
    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut syn::ItemStatic) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_trait_item_const_mut(&mut self, _: &mut syn::TraitItemConst) {}
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}

    fn visit_item_impl_mut(&mut self, item: &mut syn::ItemImpl) {
        let words = ["Display", "Debug", "Hash"];
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last()).map(|s| s.ident.to_string());
        if !of.is_some_and(|name| words.contains(&name.as_str())) {
            visit_mut::visit_item_impl_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut syn::ItemFn) {
        if item.sig.constness.is_none() {
            self.function.push(item.sig.ident.to_string());
            visit_mut::visit_item_fn_mut(self, item);
            self.function.pop();
        }
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut syn::ImplItemFn) {
        if item.sig.constness.is_none() {
            self.function.push(item.sig.ident.to_string());
            visit_mut::visit_impl_item_fn_mut(self, item);
            self.function.pop();
        }
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        let originals: Vec<Stmt> = block.stmts.clone();
        visit_mut::visit_block_mut(self, block);
        for (stmt, original) in block.stmts.iter_mut().zip(originals) {
            let Stmt::Expr(expr, Some(_)) = &original else { continue };
            let assigns =
                matches!(expr, Expr::Binary(b) if matches!(b.op, BinOp::AddAssign(_) | BinOp::BitOrAssign(_)));
            if (assigns || matches!(expr, Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_)))
                && let Some(id) = self.register(original.span(), &original, "nothing")
            {
                *stmt = parse_quote!(if crate::mutant::at() != #id { #stmt });
            }
        }
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        let original = arm.guard.clone();
        visit_mut::visit_arm_mut(self, arm);
        if let (Some((_, original)), Some((_, guard))) = (&original, &mut arm.guard) {
            self.choose_condition(original, guard, &[true, false]);
        }
    }

    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let original = expr.clone();
        visit_mut::visit_expr_mut(self, expr);
        match (&original, &mut *expr) {
            (Expr::If(o), Expr::If(e)) => self.choose_condition(&o.cond, &mut e.cond, &[true, false]),
            // `true` would never end.
            (Expr::While(o), Expr::While(e)) => self.choose_condition(&o.cond, &mut e.cond, &[false]),
            _ => {}
        }
        self.choose(&original, expr, variants(&original));
    }
}
