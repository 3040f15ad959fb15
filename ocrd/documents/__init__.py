"""Pictures and PDFs as pages: `document.open_document`. `kinds` needs no imaging library."""
