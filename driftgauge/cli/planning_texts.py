"""What ``--help`` says of the commands before a deployment."""

CALIBRATE = """\
Show what a monitor's settings will find, and how often they will err.

Draws windows from the baseline's own counts, judges them with the engine, and prints,
for the settings as they are and for alternatives (windows of half and twice the size,
decision.alpha and decision.min_effect):
  false alarms    expected in a year, with a 95 % interval
  the smallest shift that is found nine times in ten: in one window, within a day and,
                  by the evidence over time, within a month

With past captures each past window is judged against all others as well, and the drawn
windows differ as much from each other as the past ones do.
"""

CALIBRATE_EXAMPLES = """\
examples:
  driftgauge calibrate --baseline baseline/ --rows 2000 --window 1d
  driftgauge calibrate --baseline baseline/ --config monitors/churn.yaml \\
      --capture s3://bucket/captures/my-endpoint/
  driftgauge calibrate --baseline baseline/ --rows 500 --windows-per-day 24 --json \\
      | jq '.options[] | [.rows, .alpha, .min_effect, .false_alarms_per_year]'

With --json standard output holds one JSON object: typical (the columns that stand for
all in the alternatives), dispersions, lasting_false_alarms_per_year, and options, the
current settings first; sizes of shifts are standard deviations, or shares of all rows
for a column with a category. docs/operations.md explains how to choose.
"""

COST = """\
Estimate what the monitors will cost in a month, item by item.

Computed from the monitor files and the assumptions below; nothing is asked of AWS
except the baseline's number of columns, if --store is given. Prices are list prices of
us-east-1 without free tiers. Beside it stands what hourly Model Monitor jobs would cost.
"""

COST_EXAMPLES = """\
examples:
  driftgauge cost
  driftgauge cost --monitors monitors/ --rows-per-hour 20000 --features 80
  driftgauge cost --json | jq '.monitors[] | [.name, .total]'

With --json standard output holds one JSON object: total, shared (what is there once per
deployment) and monitors, each with its assumptions and items; amounts are US dollars.
docs/costs.md explains the items.
"""

MIGRATE = """\
Write monitor files that reproduce monitors of SageMaker Model Monitor.

Reads what the AWS CLI prints, or what boto3 returns, for
  describe-monitoring-schedule               one or several
  describe-data-quality-job-definition       and the three other job definitions, if the
                                             schedule names one
  describe-endpoint                          for variants and the place of the captures
or asks SageMaker itself with --schedule. Writes one file for each schedule, in strict
mode, and says what is left to do, what differs and what has no equivalent; the same
list is at the top of the file.
"""

MIGRATE_EXAMPLES = """\
examples:
  driftgauge migrate --schedule churn-hourly --region eu-west-1
  driftgauge migrate schedule.json definition.json endpoint.json --out monitors/
  driftgauge migrate schedule.json --captures s3://bucket/datacapture

docs/migrate-command.md has the list of what becomes what.
"""

SCHEMA = """\
Print the JSON Schema of a monitor's YAML file, for editors and checks.
"""

SCHEMA_EXAMPLES = """\
example:
  driftgauge schema > docs/monitor.schema.json
"""
