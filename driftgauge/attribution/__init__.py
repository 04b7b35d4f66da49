"""What a prediction owes to each feature: SHAP values, and whether they drift."""
