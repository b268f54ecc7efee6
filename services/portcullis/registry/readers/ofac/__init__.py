"""The United States Treasury's list of Specially Designated Nationals, in its CSV form."""
