//! The checks of the fuzz targets over their corpora: what a fuzzer once found stays found.

#[path = "../fuzz/src/checks/mod.rs"]
mod checks;

use std::{collections::BTreeSet, fs, path::PathBuf};

use checks::{Heap, TARGETS, Target};

use callboard_tests::source::{files, root};

fn corpus(target: &Target) -> PathBuf {
    root().join("tests/fuzz/corpus").join(target.name)
}

#[test]
fn every_file_of_a_corpus_passes_its_check() {
    for target in TARGETS {
        let mut accepted = 0_usize;
        let files = fs::read_dir(corpus(target)).expect("each target has a corpus");
        for file in files {
            let path = file.expect("it can be listed").path();
            let bytes = fs::read(&path).expect("it can be read");
            let check = || (target.check)(&bytes, Heap::UNMEASURED);
            let passed = std::panic::catch_unwind(check);
            let passed = passed.unwrap_or_else(|_| panic!("{} fails", path.display()));
            accepted += usize::from(passed);
        }
        let seeds = (target.seeds)().len();
        assert!(accepted >= seeds, "{} accepts only {accepted}", target.name);
    }
}

#[test]
fn every_seed_is_accepted() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            let accepted = (target.check)(seed, Heap::UNMEASURED);
            assert!(accepted, "{} refuses seed {number}", target.name);
        }
    }
}

#[test]
fn every_check_has_a_program_and_every_program_a_check() {
    let programs = files("tests/fuzz/src/bin", ".rs");
    let programs: BTreeSet<_> = programs
        .iter()
        .filter_map(|path| path.rsplit('/').next()?.strip_suffix(".rs"))
        .collect();
    let checks: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(programs, checks);
    let folders = fs::read_dir(root().join("tests/fuzz/corpus")).expect("the corpora are there");
    assert_eq!(folders.count(), checks.len());
}

#[test]
#[ignore = "writes the seeds into the corpora, for a new target or a changed format"]
fn write_the_seeds() {
    for target in TARGETS {
        let folder = corpus(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = folder.join(format!("seed-{number:02}"));
            fs::write(path, seed).expect("it can be written");
        }
    }
}
