"""Who a persona is: its file read, checked, merged, described and written."""
