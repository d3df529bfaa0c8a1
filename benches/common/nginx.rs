//! nginx as a server beside a bench.

use std::path::Path;
use std::process::Command;

/// Its command line: one process, so that there is one to end, whose files are in `dir`. `main` and `http` are what its configuration has
/// there in these places.
pub fn command(nginx: &Path, dir: &Path, main: &str, http: &str) -> Result<Command, String> {
    // A path may have blanks.
    let here = dir.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path \"{here}/nginx-{what}\";\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid \"{here}/nginx.pid\";\n{main}\nevents {{ worker_connections 1000; }}\n\
         http {{\n    access_log off;\n{temporary}{http}}}\n"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(dir).arg("-c").arg(&file);
    Ok(command)
}
