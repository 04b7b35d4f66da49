"""The CDK app: stacks deploy, constructs model."""
