"""What ``driftgauge replay --help`` says, and its arguments about labels."""

from __future__ import annotations

import argparse

TEXT = """\
Replay captured data window by window, and say what a monitor would have done.

Windows are judged in time order, each as the monitor would have judged it: against the
baseline, by the evidence of all windows so far, by how columns go together, and, with
--config, against the monitor file's references. Rows belong to windows by their
inference time, whichever file they are in. Windows without any row are left out.

With --ground-truth the rows are joined with their labels as well, and concept-drift
detectors watch the windows' error rates.
"""

EXAMPLES = """\
examples:
  driftgauge replay --capture captures/ --baseline baseline/ --window 1d
  driftgauge replay --capture captures/ --baseline baseline/ --window 500rows --json \\
      | jq -c 'select(.alarm) | [.window_start, .rows]'
  driftgauge replay --capture captures/ --baseline baseline/ --window 1d \\
      --ground-truth ground-truth/ --prediction score

With --json standard output holds one JSON object a line and nothing else: what the
deployed monitor writes to verdicts.json, with alarm and complete. Among it:
  window_start, window_end   ISO 8601, UTC; the end is not part of the window
  rows                       predictions in the window
  complete                   false for the last of the windows of a number of rows if
                             fewer rows were left
  alarm                      whether anything drifted or a check failed
  violations                 failed checks: feature_name, constraint_check_type,
                             description
  features                   name, role, verdict (ok, drift, seasonal or
                             insufficient_data), reason, effect, distance and its
                             interval, p_value, adjusted_p_value, what moved, which
                             segments carry it, the smallest detectable shift, ...
                             (with --mode strict distance is Model Monitor's, with
                             its threshold, and there is no effect)
  persistent                 evidence of a lasting shift: value, threshold, and since
                             when, by feature
  joint                      how columns go together: tests and pairs
  predictions                shares of the predicted classes or scores
  references                 the verdicts against the references
  outcomes                   with --ground-truth: labelled, coverage, error_rate, log_loss,
                             fired (detectors, each with rise or fall), learning,
                             design_effect; ground_truth and design_effect are of the
                             whole replay and alike in all lines

exit status: 0 if the replay ran, whatever it found, 2 on an error.
"""

GROUND_TRUTH = """\
Rows are joined with ground truth by event id (the caller's inferenceId, else eventId);
of several labels of an id the last one read wins. Labels are 0 or 1, true or false. For
each window: labelled rows and their share of all (coverage), error rate, log loss, and
which of ADWIN, Page-Hinkley, DDM, HDDM_A and HDDM_W fire there. The first windows with
labels (decision.persistence.learning_windows, 8) only teach how much windows differ.
Every label that is there counts, however late it came; a window whose labels are still
coming in shows a low coverage. No alarm depends on them. Needs windows by time. Event
ids and labels are held in memory, about 250 bytes each; rows are not.
"""


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what joins a replay with ground truth."""
    labels = parser.add_argument_group("with labels", GROUND_TRUTH)
    labels.add_argument(
        "--ground-truth",
        nargs="+",
        metavar="PATH",
        help="labels as Model Monitor reads them: .jsonl files, folders of them or s3:// URIs",
    )
    labels.add_argument(
        "--prediction",
        metavar="NAME",
        help="column that holds the score (default: the monitor file's prediction, else the "
        "baseline's only output)",
    )
    labels.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="a score of at least this predicts 1 (default: 0.5)",
    )
