//! Lists the scenarios of the catalogue for `src/scenario/catalogue.rs`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("scenarios");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut list = String::from("const FILES: &[(&str, &str)] = &[\n");
    for family in sorted(&root)? {
        println!("cargo::rerun-if-changed={}", family.display());
        let name = family.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in sorted(&family)? {
            list += &format!("    ({name:?}, include_str!({:?})),\n", file.display().to_string());
        }
    }
    list += "];\n";
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("scenarios.rs"), list)
}

/// What a folder contains, by name.
fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}
