"""Bytes to columns: SageMaker capture records, payload encodings, tables, ground truth."""
