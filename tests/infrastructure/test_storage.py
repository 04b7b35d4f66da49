from __future__ import annotations

from typing import Any

from stacks.storage import room_days
from tests.infrastructure.synthesized import Synthesized, monitor, synthesize


def test_every_bucket_is_kept_encrypted_private_and_tls_only(default: Synthesized) -> None:
    buckets = default.all("AWS::S3::Bucket")
    assert len(buckets) == 3
    for bucket in buckets:
        assert bucket.attributes["DeletionPolicy"] == "Retain"
        assert bucket.attributes["UpdateReplacePolicy"] == "Retain"
        assert all(bucket.properties["PublicAccessBlockConfiguration"].values())
        assert bucket.properties["BucketEncryption"]
        policy = default.one("AWS::S3::BucketPolicy", Bucket=f"<{bucket.logical_id}>")
        denied = [
            statement
            for statement in policy.properties["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
        ]
        assert [statement["Condition"] for statement in denied] == [
            {"Bool": {"aws:SecureTransport": "false"}}
        ]


def test_the_logical_ids_of_what_is_kept_do_not_change(default: Synthesized) -> None:
    # A new logical id makes CloudFormation create a new, empty bucket beside the old one.
    ids = {bucket.logical_id for bucket in default.all("AWS::S3::Bucket")}
    assert ids == {"AccessLogs8B620ECA", "Store1D2A845B", "CapturesDE857D5D"}


def test_the_storage_stack_cannot_be_deleted_by_mistake(default: Synthesized) -> None:
    protected = {room: stack.termination_protection for room, stack in default.stacks.items()}
    assert protected == {
        "Storage": True,
        "Alerts": False,
        "Monitoring": False,
        "Retraining": False,
    }


def test_both_buckets_send_events_without_a_custom_resource(default: Synthesized) -> None:
    for bucket in ("Store1D2A845B", "CapturesDE857D5D"):
        properties = default.templates["Storage"]["Resources"][bucket]["Properties"]
        assert properties["NotificationConfiguration"] == {
            "EventBridgeConfiguration": {"EventBridgeEnabled": True}
        }
    kinds = {resource["Type"] for resource in default.templates["Storage"]["Resources"].values()}
    assert kinds == {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}


def test_access_to_the_store_and_the_captures_is_logged(default: Synthesized) -> None:
    for bucket in default.all("AWS::S3::Bucket"):
        logging = bucket.properties.get("LoggingConfiguration")
        if bucket.logical_id.startswith("AccessLogs"):
            assert logging is None
        else:
            assert logging
            assert logging["DestinationBucketName"] == "<AccessLogs8B620ECA>"


def test_rows_of_the_traffic_expire_and_the_record_of_decisions_does_not(
    varied: Synthesized,
) -> None:
    store = varied.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    rules = store["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    for name in ("churn", "churn-by-region", "fraud"):
        assert expiring[f"{name}/quarantine/"] == 30
        assert expiring[f"{name}/retraining/"] == expiring[f"{name}/approvals/"] == 90
        assert expiring[f"{name}/rollups/"] == expiring[f"{name}/profiles/"] == 400
        for room in ("predictions", "labels", "samples"):
            assert expiring[f"{name}/{room}/"] == 105
    assert len(expiring) == 3 * 8
    # Nothing else expires: no rule without a prefix has a term for current objects.
    assert not [rule for rule in rules if "ExpirationInDays" in rule and "Prefix" not in rule]


def test_predictions_wait_for_labels_as_long_as_these_may_come() -> None:
    late: dict[str, Any] = {"prediction": "score", "outcomes": {"lookback": "180d"}, "window": "7d"}
    store = synthesize(monitor(**late)).templates["Storage"]["Resources"]["Store1D2A845B"]
    terms = {
        rule.get("Prefix"): rule.get("ExpirationInDays")
        for rule in store["Properties"]["LifecycleConfiguration"]["Rules"]
    }
    for room in ("predictions", "labels", "samples"):
        assert terms[f"churn/{room}/"] == 180 + 7 + 14
    # What was found out from them is small, and stays.
    assert "churn/attributions/" not in terms
    assert "churn/reports/" not in terms


def test_profiles_stay_as_long_as_labels_may_make_their_window_be_evaluated() -> None:
    patient = room_days(monitor(prediction="score", outcomes={"lookback": "700d"}, window="7d"))
    assert patient["profiles"] == patient["rollups"] == patient["predictions"] == 700 + 7 + 14
    assert room_days(monitor())["profiles"] == 400


def test_the_record_of_a_retraining_outlives_its_cool_down() -> None:
    patient = synthesize(monitor(retraining={"cooldown": "200d"}))
    store = patient.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    terms = {
        rule.get("Prefix"): rule.get("ExpirationInDays")
        for rule in store["LifecycleConfiguration"]["Rules"]
    }
    assert terms["churn/retraining/"] == 201


def test_the_store_is_versioned_and_replaced_versions_go_after_a_month(
    default: Synthesized,
) -> None:
    store = default.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    assert store["VersioningConfiguration"] == {"Status": "Enabled"}
    terms = {
        rule.get("Prefix"): rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in store["LifecycleConfiguration"]["Rules"]
        if "NoncurrentVersionExpiration" in rule
    }
    # These are written again as they grow or shrink; nobody asks for an earlier one.
    rooms = ("rollups", "predictions", "labels", "samples")
    assert terms.pop(None) == 30
    assert terms == {f"flight-delays/{room}/": 1 for room in rooms}


def test_a_deployment_on_existing_buckets_makes_none_for_captures(varied: Synthesized) -> None:
    assert not [
        bucket.logical_id
        for bucket in varied.all("AWS::S3::Bucket")
        if bucket.logical_id.startswith("Captures")
    ]
    assert set(varied.templates["Storage"]["Outputs"]) == {"StoreBucketName"}
    assert "CAPTURE_BUCKET" not in varied.function("prepare").properties["Environment"]["Variables"]


def test_a_mixed_deployment_makes_one_bucket_for_the_monitors_without(
    default: Synthesized,
) -> None:
    mixed = synthesize(monitor("churn", capture={"bucket": "existing"}), monitor("fraud"))
    assert {"StoreBucketName", "CaptureBucketName"} <= set(mixed.templates["Storage"]["Outputs"])
    assert {"StoreBucketName", "CaptureBucketName"} <= set(default.templates["Storage"]["Outputs"])
    patterns = [
        rule.properties["EventPattern"]["detail"]["bucket"]["name"]
        for rule in mixed.all("AWS::Events::Rule")
        if rule.logical_id.startswith("Captures")
    ]
    assert sorted(patterns) == [["<CapturesDE857D5D>"], ["existing"]]
