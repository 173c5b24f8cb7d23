"""Machines that run services, behind one small port; see `port.Host`."""
