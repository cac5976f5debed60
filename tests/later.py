"""The tests that take long: they run by a target of their own, and not with every `make test`.

CONTRIBUTING says when each target is run. What stays in `make test` has something of each: a kept file of each kind, an
engine that is killed, a job that another worker takes over, the README's blocks, the walk through the page.
"""

from __future__ import annotations

from collections.abc import Iterator

# By target, the beginnings of the IDs of its tests.
LATER: dict[str, tuple[str, ...]] = {
    # Processes that are killed, stopped or hang; databases and disks that break; memory that must come back.
    "crashes": (
        "tests/engine/test_liveness.py::test_a_short_deadline",
        "tests/engine/test_liveness.py::test_an_engine_that_is_stopped",
        "tests/engine/test_crash.py::test_a_killed_api",
        "tests/engine/test_crash.py::test_an_api_killed",
        "tests/engine/test_crash.py::test_ctrl_c",
        "tests/engine/test_crash.py::test_a_hung_engine",
        "tests/engine/test_crash.py::test_sigterm",
        "tests/engine/test_crash.py::test_an_engine_that_cannot_start",
        "tests/engine/child/test_freed.py",
        "tests/jobs/test_repair.py",
        "tests/jobs/test_handover.py",
        "tests/jobs/test_crashes.py::test_a_frozen",
        "tests/jobs/test_crashes.py::test_an_outage",
        "tests/jobs/test_crashes.py::test_a_job_that_kills",
        "tests/api/server/test_shutdown.py",
        "tests/api/guarding/test_deadlines.py::TestGone::test_a_storm",
        "tests/api/guarding/test_revoked.py::test_a3",
        "tests/api/guarding/test_shedding.py::test_a7_two_engines",
        "tests/api/answering/test_large_answers.py::test_a_killed_engine",
        "tests/api/routes/test_health.py::TestPreloaded",
        "tests/api/routes/test_describing.py",
        "tests/models/backends/test_tensorflow.py::test_memory_that_is_not_there",
    ),
    # Model files that people keep, whole networks of them, and files that are damaged.
    "kept": (
        "tests/fuzz/test_fuzz.py::test_i6_damaged_images",
        "tests/models/test_kept_files.py::test_files_that_are_no_models",
        "tests/ingest/test_run.py::TestM12HonestModels::test_a_new_file_twice",
        "tests/ingest/test_run.py::TestM12HonestModels::test_a_compiled_and_trained",
        "tests/ingest/test_run.py::TestM5Bombs::test_memory_while",
        "tests/ingest/test_trusted.py::TestTrust::test_the_engine_asks",
        "tests/models/graph/test_scaling.py::test_a_backbone_under_a_head",
        "tests/models/graph/test_graph.py::test_applications_are_equal",
        "tests/models/files/test_odd_folders.py::test_the_other_models",
        "tests/explainers/test_dog_above_cat.py",
        "tests/explainers/maximization/test_networks.py::test_the_tutorials_loop",
        "tests/explainers/maximization/test_networks.py::test_what_a_layer_reaches",
        "tests/demo/test_training.py::test_a_run_writes",
        "tests/api/routes/test_uploads.py::TestRefused::test_a_spec_that_cannot_be",
        "tests/api/routes/test_uploads.py::test_c3",
        "tests/api/routes/test_uploads.py::test_m9",
        "tests/api/routes/test_methods.py::TestForAModel",
        "tests/api/test_geometry.py",
        "tests/models/files/test_sources.py::test_mobilenetv2",
        "tests/models/backends/incremental/test_networks.py::test_architectures",
        "tests/models/backends/incremental/test_operations.py::test_sliding",
        "tests/explainers/test_keras_2.py::test_integrated_gradients",
        "tests/explainers/test_keras_2.py::test_grad_cam",
        "tests/explainers/maximization/test_method.py::test_any_size",
    ),
    # The explorer page in a browser, but for the walk through it and its targets.
    "page": (
        "tests/browser/test_jobs.py",
        "tests/browser/test_links.py",
        "tests/browser/test_origins.py",
        "tests/browser/test_problems.py",
        "tests/browser/test_explorer.py::test_while_the_engine_starts",
        "tests/browser/test_targets.py::test_the_download",
        "tests/browser/test_targets.py::test_an_opacity",
        "tests/browser/test_targets.py::test_every_layer",
        "tests/browser/test_targets.py::test_an_estimate",
    ),
    # The blocks of the pages in `docs`, and the examples in languages other than the shell's.
    "documents": (
        "tests/test_documents.py::TestBlocks::test_it_runs[docs/",
        "tests/test_documents.py::TestBlocks::test_what_they_wrote",
        "tests/test_documents.py::TestBlocks::test_the_pictures",
        "tests/test_example_clients.py::TestHttpFile::test_its_request",
    ),
}

# The files of `make test` that take longest.
LONGEST = (
    "tests/models/test_kept_files.py",
    "tests/test_documents.py",
    "tests/test_example_clients.py",
    "tests/api/document/test_openapi.py",
    "tests/api/routes/test_uploads.py",
    "tests/api/routes/test_models.py",
    "tests/api/routes/test_jobs.py",
    "tests/explainers/test_properties.py",
    "tests/explainers/maximization/",
    "tests/browser/",
    "tests/ingest/test_run.py",
    "tests/test_examples.py",
)


def target_of(test: str) -> str | None:
    """Gives the target that runs the test of this ID; None for `make test`."""
    return next((target for target, begins in LATER.items() if test.startswith(begins)), None)


def beginnings() -> Iterator[tuple[str, str]]:
    """Gives each target with each of its beginnings."""
    for target, begins in LATER.items():
        for begin in begins:
            yield target, begin
