"""Pictures and small data sets: the samples that ship with the app and the users' own."""
