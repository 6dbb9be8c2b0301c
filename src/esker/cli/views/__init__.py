"""What people see: tables, progress, and states as they change."""
