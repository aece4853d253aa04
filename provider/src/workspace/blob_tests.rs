use super::super::id::WorkspaceId;
use super::*;

fn catalogue() -> (tempfile::TempDir, Catalogue) {
    let folder = tempfile::tempdir().expect("a folder");
    let id = WorkspaceId::of_directory(&folder.path().join("ws")).expect("absolute");
    (folder, Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened"))
}

#[test]
fn a_digest_has_one_spelling() {
    let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Digest::of(b"abc").to_string(), text);
    assert_eq!(text.parse(), Ok(Digest::of(b"abc")));
    for wrong in ["", "sha256:", &text[7..], &text[..70], &text.to_uppercase(), &text.replace("ba78", "BA78")] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_file_is_put_once_and_read_back_whole() {
    let (folder, catalogue) = catalogue();
    let file = folder.path().join("big");
    let content: Vec<u8> = (0..=250_u8).cycle().take(CHUNK + CHUNK / 2).collect();
    std::fs::write(&file, &content).expect("written");
    let digest = Digest::of(&content);
    catalogue.put_file(&file, &digest, content.len() as u64).await.expect("put");
    std::fs::remove_file(&file).expect("removed");
    // There already, so the source is not even opened.
    catalogue.put_file(&file, &digest, content.len() as u64).await.expect("known");
    catalogue.copy_blob(&digest, &file).await.expect("copied");
    assert!(std::fs::read(&file).expect("read") == content);
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_hashed_is_refused_and_leaves_nothing() {
    let (folder, catalogue) = catalogue();
    let file = folder.path().join("model");
    std::fs::write(&file, "new").expect("written");
    let error = catalogue.put_file(&file, &Digest::of(b"old"), 3).await.expect_err("refused");
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert!(!catalogue.has_blob(&Digest::of(b"old"), None).await.expect("looked"));
    let left = std::fs::read_dir(catalogue.blob_file(&Digest::of(b"old")).expect("local").parent().expect("folder"));
    assert_eq!(left.expect("a folder").count(), 0);
}

#[tokio::test]
async fn damaged_and_missing_contents_are_found_out() {
    let (folder, catalogue) = catalogue();
    let digest = catalogue.put_blob("good".into()).await.expect("put");
    std::fs::write(catalogue.blob_file(&digest).expect("local"), "evil").expect("written");
    assert!(matches!(catalogue.read_blob(&digest).await, Err(Error::BadBlob { .. })));
    let copy = catalogue.copy_blob(&digest, &folder.path().join("copy")).await;
    assert!(matches!(copy, Err(Error::BadBlob { .. })));
    assert!(matches!(catalogue.read_blob(&Digest::of(b"none")).await, Err(Error::BadBlob { .. })));
}

#[tokio::test]
async fn nothing_is_swept_while_a_writer_holds_its_blobs() {
    let (_folder, catalogue) = catalogue();
    let held = catalogue.hold_blobs().await.expect("held");
    let digest = catalogue.put_blob("content".into()).await.expect("put");
    let also = catalogue.hold_blobs().await.expect("writers share");
    let sweep = tokio::spawn({
        let catalogue = catalogue.clone();
        async move { catalogue.sweep().await }
    });
    drop(also);
    tokio::task::yield_now().await;
    assert!(catalogue.has_blob(&digest, Some(7)).await.expect("looked"));
    drop(held);
    assert_eq!(sweep.await.expect("joined").expect("swept"), 1);
    // What a killed writer left.
    let half = catalogue.blob_file(&digest).expect("local").with_extension("#1");
    std::fs::write(&half, "con").expect("written");
    assert_eq!(catalogue.sweep().await.expect("swept"), 0);
    assert!(!half.exists());
    assert!(!catalogue.has_blob(&digest, None).await.expect("looked"));
}
