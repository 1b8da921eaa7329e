"""The surveys whose spectra and light curves can be read: one module per survey, one registry."""
