//! docs/recipes against examples/recipes: the pages show the files that tests/serve/recipes.rs drills, and the files agree with each other.

use std::collections::BTreeSet;

use softstop::config::check::read;

use crate::declared::{files, is_as_made, text};

/// What stands in a folder, seen from there; of another folder in it the first part of each.
fn names(folder: &str) -> BTreeSet<String> {
    let names = files(folder, "")
        .into_iter()
        .filter_map(|path| Some(path.strip_prefix(folder)?[1..].split('/').next()?.to_owned()));
    names.collect()
}

/// Folders of examples/recipes.
fn recipes() -> Vec<String> {
    let recipes: Vec<String> = names("examples/recipes").into_iter().filter(|name| name != "README.md").collect();
    assert!(recipes.len() >= 2, "{recipes:?}");
    recipes
}

fn pages() -> Vec<String> {
    names("docs/recipes").into_iter().filter(|name| name != "README.md").collect()
}

/// As GitHub colours it.
fn language(file: &str) -> &str {
    match file.rsplit(['/', '.']).next().unwrap() {
        "Dockerfile" => "dockerfile",
        "conf" if file.ends_with("nginx.conf") => "nginx",
        "conf" => "ini",
        "py" => "python",
        "rb" => "ruby",
        extension => extension,
    }
}

/// The page with the block below each line `<!-- file: PATH -->` made of that file anew, and the files.
fn shown(page: &str) -> (String, Vec<String>) {
    let (mut made, mut files) = (String::new(), Vec::new());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        made += &format!("{line}\n");
        let Some(file) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        if lines.next_if(|line| line.starts_with("```")).is_some() {
            lines.by_ref().find(|line| *line == "```");
        }
        made += &format!("```{}\n{}```\n", language(file), text(file));
        files.push(file.to_owned());
    }
    (made, files)
}

#[test]
fn the_pages_of_recipes_show_the_files_that_are_tested() {
    let list = text("docs/recipes/README.md");
    for page in pages() {
        let path = format!("docs/recipes/{page}");
        assert!(list.contains(&format!("({page})")), "docs/recipes/README.md does not list {page}");
        is_as_made(&path, &shown(&text(&path)).0);
        let lines = text(&path).lines().count();
        assert!(lines <= 100, "{path} has {lines} lines: a hundred at the most are read");
    }
    for recipe in recipes() {
        let path = format!("docs/recipes/{recipe}.md");
        let page = text(&path);
        let files = shown(&page).1;
        for file in names(&format!("examples/recipes/{recipe}")) {
            let file = format!("examples/recipes/{recipe}/{file}");
            let there = files.contains(&file) || page.contains(&format!("(../../{file})"));
            assert!(there, "{path} neither shows {file} nor links to it");
        }
        assert!(page.contains("$ softstop drill"), "{path} does not show what a drill says");
    }
}

/// The words behind each instruction of this name.
fn instructions<'a>(dockerfile: &'a str, name: &str) -> Vec<&'a str> {
    dockerfile.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect()
}

fn exec_form(recipe: &str, words: &str) -> Vec<String> {
    serde_json::from_str(words).unwrap_or_else(|e| panic!("{recipe}/Dockerfile: {words}: not in exec form: {e}"))
}

fn ports(text: &str, before: &str) -> BTreeSet<u16> {
    let behind = text.split(before).skip(1);
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    behind.filter_map(|rest| digits(rest).parse().ok()).collect()
}

#[test]
fn the_dockerfile_of_a_recipe_agrees_with_its_configuration_and_its_pod() {
    for recipe in recipes() {
        let folder = format!("examples/recipes/{recipe}");
        let dockerfile = text(&format!("{folder}/Dockerfile"));
        let config = text(&format!("{folder}/softstop.toml"));
        let pod = text(&format!("{folder}/pod.yaml"));
        let (read, _) = read(&config, &recipe, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));

        let entrypoints = instructions(&dockerfile, "ENTRYPOINT");
        let [entrypoint] = entrypoints[..] else { panic!("{recipe}: {entrypoints:?}") };
        assert_eq!(exec_form(&recipe, entrypoint), ["/softstop", "run"], "{recipe}");
        assert_eq!(instructions(&dockerfile, "CMD"), [""; 0], "{recipe}: the configuration has the command");
        assert_eq!(
            instructions(&dockerfile, "STOPSIGNAL"),
            [""; 0],
            "{recipe}: SIGTERM, or the base image's, is a request"
        );
        let user = *instructions(&dockerfile, "USER").last().unwrap_or(&"root");
        assert!(user.chars().all(|c| c.is_ascii_digit() || c == ':'), "{recipe}: USER {user} is not a number");

        let copies: Vec<&str> = instructions(&dockerfile, "COPY").iter().flat_map(|copy| copy.split(' ')).collect();
        for file in names(&folder).iter().filter(|file| !["Dockerfile", "pod.yaml"].contains(&file.as_str())) {
            assert!(copies.contains(&file.as_str()), "{recipe}/Dockerfile does not copy {file}");
        }
        for file in ["softstop", "/softstop", "softstop.toml", "/etc/softstop.toml"] {
            assert!(copies.contains(&file), "{recipe}/Dockerfile does not copy {file}");
        }

        let exposed: BTreeSet<u16> =
            instructions(&dockerfile, "EXPOSE").iter().flat_map(|line| line.split(' ')).flat_map(str::parse).collect();
        assert_eq!(exposed, ports(&pod, "containerPort: "), "{recipe}: EXPOSE, and the pod's ports");
        assert_eq!(ports(&config, "listen = \":").difference(&exposed).count(), 0, "{recipe}: [http] listen");
        let grace = format!("terminationGracePeriodSeconds: {}\n", read.grace.as_secs());
        assert!(pod.contains(&grace), "{recipe}/pod.yaml: {grace}");
    }
}
