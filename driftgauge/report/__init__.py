"""What people and other programs read: Model Monitor files, HTML reports, alert texts."""
