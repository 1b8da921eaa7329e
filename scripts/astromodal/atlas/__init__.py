"""The atlas: one page to explore a survey, its objects, their neighbours and predictions."""
