//! The index made again from the data: the same answers as before, whatever of it was lost.
//!
//! Where answers may differ, a test says in which direction: never from private to public.

use std::fs;

use shoal_store::{OpenError, Options, RebuildReport, Store, TablesFrom};

use crate::answers::Filled;
use crate::fixture::{Place, files_in, flip};

fn rebuild(filled: &Filled) -> RebuildReport {
    let mut told = 0;
    let report = Store::rebuild(&filled.place.path(), &filled.options(), &mut |report| {
        assert!(report.bytes >= told);
        told = report.bytes;
    });
    let report = report.unwrap();
    assert!(told > 0 && told == report.bytes);
    report
}

#[test]
fn an_index_that_is_well_is_made_again_with_the_same_answers() {
    for level0_rows in [8, 16 * 1024] {
        let filled = Filled::new(level0_rows);
        let before = filled.answers(&filled.open());
        assert_eq!(filled.open().check_index().unwrap(), []);
        assert!(before.blocks.values().filter(|answer| answer.0).count() > 100);
        let report = rebuild(&filled);
        assert_eq!((report.tables, report.pack_damaged), (TablesFrom::Index, 0));
        assert_eq!((report.leaves_wrong, report.kept_from_index), (0, 0));
        let store = filled.open();
        filled.answers(&store).assert_same(&before);
        drop(store);
        filled.answers(&filled.open()).assert_same(&before);
        assert_eq!(files_in(&filled.place.path().join("journal")).len(), 1);
        assert!(!filled.place.path().join("index.new").exists());
    }
}

#[test]
fn a_lost_index_file_is_made_again_with_the_same_answers() {
    for level0_rows in [8, 16 * 1024] {
        let filled = Filled::new(level0_rows);
        let before = filled.answers(&filled.open());
        fs::remove_file(filled.place.path().join("index.redb")).unwrap();
        let refused = Store::open(&filled.place.path(), filled.options());
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("shoal verify --rebuild-index"), "{said}");
        let report = rebuild(&filled);
        assert_eq!((report.tables, report.journal_damaged), (TablesFrom::Journal, 0));
        let mut after = filled.answers(&filled.open());
        // What was in no run yet, and what no pin reaches, is private rather than public.
        let forgotten: Vec<_> = filled
            .passing
            .iter()
            .filter(|cid| before.blocks[cid].1 && !after.blocks[cid].1)
            .collect();
        assert!(forgotten.len() <= level0_rows.min(filled.passing.len()), "{forgotten:?}");
        for cid in forgotten {
            after.blocks.insert(*cid, before.blocks[cid]);
        }
        after.assert_same(&before);
    }
}

#[test]
fn nothing_but_the_journal_and_the_data_is_needed_and_nothing_private_is_published() {
    for level0_rows in [8, 16 * 1024] {
        let filled = Filled::new(level0_rows);
        let before = filled.answers(&filled.open());
        fs::remove_file(filled.place.path().join("index.redb")).unwrap();
        fs::remove_dir_all(filled.place.path().join("runs")).unwrap();
        rebuild(&filled);
        let mut after = filled.answers(&filled.open());
        for cid in filled.blocks.keys() {
            let (was, is) = (before.blocks[cid].1, after.blocks[cid].1);
            assert!(was || !is, "{cid} was private");
            if was != is {
                assert!(filled.passing.contains(cid), "{cid} was public");
                after.blocks.insert(*cid, before.blocks[cid]);
            }
        }
        after.assert_same(&before);
    }
}

#[test]
fn without_a_journal_the_blocks_of_the_packs_are_found() {
    let filled = Filled::new(8);
    let before = filled.answers(&filled.open());
    for lost in ["journal", "runs"] {
        fs::remove_dir_all(filled.place.path().join(lost)).unwrap();
    }
    fs::write(filled.place.path().join("index.redb"), b"").unwrap();
    let report = rebuild(&filled);
    assert_eq!(report.tables, TablesFrom::Nowhere);
    let store = filled.open();
    let found = filled.blocks.keys().filter(|cid| store.has(cid)).count();
    assert!(found > 60 && found < before.blocks.len(), "{found} blocks");
    assert_eq!(store.pins(None, 10).unwrap(), []);
}

#[test]
fn a_damaged_journal_does_not_matter_while_the_index_is_well() {
    let filled = Filled::new(8);
    let before = filled.answers(&filled.open());
    let journal = filled.place.only_file("journal");
    for at in (20..fs::metadata(&journal).unwrap().len()).step_by(2000) {
        flip(&journal, at);
    }
    assert_eq!(rebuild(&filled).tables, TablesFrom::Index);
    filled.answers(&filled.open()).assert_same(&before);
    // It was written anew with it.
    fs::remove_file(filled.place.path().join("index.redb")).unwrap();
    let report = rebuild(&filled);
    assert_eq!((report.tables, report.journal_damaged), (TablesFrom::Journal, 0));
    filled.answers(&filled.open()).assert_same(&before);
}

#[test]
fn what_is_damaged_is_named_after_a_rebuild_too() {
    let filled = Filled::new(8);
    let store = filled.open();
    let packed = crate::fixture::block(3).0;
    let at = store.extent(&packed).unwrap().offset;
    drop(store);
    flip(&filled.place.path().join("packs/00000000.pack"), at + 5);
    let report = rebuild(&filled);
    assert!(report.pack_damaged > 0 && report.kept_from_index == 1, "{report:?}");
    assert!(matches!(filled.open().get(&packed), Err(shoal_store::ReadError::Corrupt { .. })));
}

#[test]
fn a_rebuild_wants_a_store_for_itself() {
    let place = Place::new();
    let store = place.open();
    let refused = Store::rebuild(&place.path(), &Options::default(), &mut |_| ());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    drop(store);
    let report = Store::rebuild(&place.path(), &Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.blocks, report.tables), (0, TablesFrom::Index));
    drop(place.open());
    let elsewhere = Store::rebuild(place.dir.path(), &Options::default(), &mut |_| ());
    assert!(matches!(elsewhere, Err(OpenError::NotAStore { .. })), "{elsewhere:?}");
}
