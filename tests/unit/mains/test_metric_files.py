import stat

from portcullis.mains.metric_files import discard_metric_folder, make_metric_folder


def test_metrics_lie_in_memory_where_the_host_has_it(tmp_path):
    memory = tmp_path / "shm"
    memory.mkdir()
    folder = make_metric_folder(tmp_path, memory)
    assert folder.parent == memory
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    discard_metric_folder(folder)
    assert list(memory.iterdir()) == []


def test_metrics_lie_in_the_run_folder_elsewhere(tmp_path):
    folder = make_metric_folder(tmp_path, tmp_path / "absent")
    assert folder == tmp_path / "metrics"
    discard_metric_folder(folder)
    assert not folder.exists()


def test_a_folder_of_another_form_is_left_alone(tmp_path):
    (tmp_path / "documents").mkdir()
    discard_metric_folder(tmp_path / "documents")
    assert (tmp_path / "documents").exists()
