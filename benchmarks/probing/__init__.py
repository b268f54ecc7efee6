"""False alarms of honest partners, and how soon those who go through numbers are stopped, by simulation."""
