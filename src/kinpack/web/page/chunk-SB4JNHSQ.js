function a(e,r="",o=""){let n=document.createElement(e);return[n.textContent,n.className]=[r,o],n}var t=e=>e.toLocaleString("en");export{a,t as b};
