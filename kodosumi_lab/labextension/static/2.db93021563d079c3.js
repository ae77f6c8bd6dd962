"use strict";(self.rspackChunkkodosumi_lab=self.rspackChunkkodosumi_lab||[]).push([[2],{42(t,e,a){var o=a(43),r=a.n(o),n=a(44),i=(a.n(n))()(r());i.push([t.id,`/* What is outside of our views: tabs, the sidebar, the status bar, drags. Views carry their own styles. */

.kl-lab-view {
  overflow: auto;
  background: var(--jp-layout-color1);
}
.kl-lab-view:focus { outline: none; }
.kl-lab-page { padding: 12px 16px; }
.kl-lab-run { height: 100%; }
.jp-OutputArea .kl-lab-run { padding: 0; height: auto; }
.kl-lab-form { max-width: 60em; }
.kl-lab-frame { display: block; width: 100%; height: 100%; border: 0; }


.kl-lab-sidebar:not(.kl-lab-away) > .jp-SidePanel-header { display: none; }
/* The sidebar's sections scroll inside themselves. */
.kl-lab-sidebar { background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); }
.kl-lab-sidebar .kl-lab-section { overflow: hidden; min-height: 0; }
.kl-lab-sidebar .kl-lab-section > .kl { height: 100%; min-height: 0; }
.kl-lab-sidebar .kl-lab-section .kl-lab-page { overflow: auto; padding: 8px; }
.kl-lab-sidebar.kl-lab-away .kl-lab-section { opacity: .7; }
.kl-lab-notice { border-bottom: 1px solid var(--jp-border-color2); }

/* How many questions wait, at the icon of the sidebar. */
.jp-SideBar .lm-TabBar-tab[data-kl-waiting] { position: relative; }
.jp-SideBar .lm-TabBar-tab[data-kl-waiting]::after {
  content: attr(data-kl-waiting);
  position: absolute;
  inset-block-start: 6px;
  inset-inline: auto 3px;
  inset-block-end: auto;
  box-sizing: border-box;
  width: auto;
  min-width: 15px;
  height: 15px;
  padding: 0 3px;
  border-radius: 8px;
  font: 600 10px/15px var(--jp-ui-font-family);
  text-align: center;
  color: #fff;
  background: #a04a00;
  pointer-events: none;
}

.kl-lab-statusitem { display: flex; }
.kl-lab-status {
  display: flex; align-items: center; gap: 4px; height: 100%; padding: 0 6px; border: 0; background: none; cursor: pointer;
  font: inherit; color: var(--jp-ui-font-color1);
}
.kl-lab-status:hover { background: var(--jp-layout-color3); }
.kl-lab-status:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -2px; }
.kl-lab-status:not([data-state='live']) { color: var(--jp-ui-font-color2); }
.kl-lab-status[data-waiting='true'] { font-weight: 600; }

.kl-lab-drag {
  max-width: 30em; padding: 4px 10px; border-radius: 3px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); box-shadow: var(--jp-elevation-z6);
}
.kl-lab-output { overflow: visible; }
/* nothing is known to be wrong yet */
.kl-lab-waits .kl-lab-stalerow { visibility: hidden; }
/* A notebook is a shade darker than the panels around it, and so is what lies in it. */
.jp-OutputArea .kl { --kl-bg: var(--jp-layout-color0); }
`,""]),a.d(e,{},{A:i})},44(t){t.exports=function(t){var e=[];return e.toString=function(){return this.map(function(e){var a="",o=void 0!==e[5];return e[4]&&(a+="@supports (".concat(e[4],") {")),e[2]&&(a+="@media ".concat(e[2]," {")),o&&(a+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),a+=t(e),o&&(a+="}"),e[2]&&(a+="}"),e[4]&&(a+="}"),a}).join("")},e.i=function(t,a,o,r,n){"string"==typeof t&&(t=[[null,t,void 0]]);var i={};if(o)for(var l=0;l<this.length;l++){var s=this[l][0];null!=s&&(i[s]=!0)}for(var c=0;c<t.length;c++){var u=[].concat(t[c]);o&&i[u[0]]||(void 0!==n&&(void 0===u[5]||(u[1]="@layer".concat(u[5].length>0?" ".concat(u[5]):""," {").concat(u[1],"}")),u[5]=n),a&&(u[2]&&(u[1]="@media ".concat(u[2]," {").concat(u[1],"}")),u[2]=a),r&&(u[4]?(u[1]="@supports (".concat(u[4],") {").concat(u[1],"}"),u[4]=r):u[4]="".concat(r)),e.push(u))}},e}},43(t){t.exports=function(t){return t[1]}},35(t,e,a){a.r(e);var o=a(36),r=a.n(o),n=a(37),i=a.n(n),l=a(38),s=a.n(l),c=a(39),u=a.n(c),d=a(40),p=a.n(d),b=a(41),f=a.n(b),h=a(42),v={};v.styleTagTransform=f(),v.setAttributes=u(),v.insert=s().bind(null,"head"),v.domAPI=i(),v.insertStyleElement=p(),r()(h.A,v);let k=h.A&&h.A.locals?h.A.locals:void 0;a.d(e,{},{default:k})},36(t){var e=[];function a(t){for(var a=-1,o=0;o<e.length;o++)if(e[o].identifier===t){a=o;break}return a}function o(t,o){for(var r={},n=[],i=0;i<t.length;i++){var l=t[i],s=o.base?l[0]+o.base:l[0],c=r[s]||0,u="".concat(s," ").concat(c);r[s]=c+1;var d=a(u),p={css:l[1],media:l[2],sourceMap:l[3],supports:l[4],layer:l[5]};if(-1!==d)e[d].references++,e[d].updater(p);else{var b=function(t,e){var a=e.domAPI(e);return a.update(t),function(e){e?(e.css!==t.css||e.media!==t.media||e.sourceMap!==t.sourceMap||e.supports!==t.supports||e.layer!==t.layer)&&a.update(t=e):a.remove()}}(p,o);o.byIndex=i,e.splice(i,0,{identifier:u,updater:b,references:1})}n.push(u)}return n}t.exports=function(t,r){var n=o(t=t||[],r=r||{});return function(t){t=t||[];for(var i=0;i<n.length;i++){var l=a(n[i]);e[l].references--}for(var s=o(t,r),c=0;c<n.length;c++){var u=a(n[c]);0===e[u].references&&(e[u].updater(),e.splice(u,1))}n=s}}},38(t){var e={};t.exports=function(t,a){var o=function(t){if(void 0===e[t]){var a=document.querySelector(t);if(window.HTMLIFrameElement&&a instanceof window.HTMLIFrameElement)try{a=a.contentDocument.head}catch(t){a=null}e[t]=a}return e[t]}(t);if(!o)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");o.appendChild(a)}},40(t){t.exports=function(t){var e=document.createElement("style");return t.setAttributes(e,t.attributes),t.insert(e,t.options),e}},39(t,e,a){t.exports=function(t){var e=a.nc;e&&t.setAttribute("nonce",e)}},37(t){t.exports=function(t){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=t.insertStyleElement(t);return{update:function(a){var o,r,n;o="",a.supports&&(o+="@supports (".concat(a.supports,") {")),a.media&&(o+="@media ".concat(a.media," {")),(r=void 0!==a.layer)&&(o+="@layer".concat(a.layer.length>0?" ".concat(a.layer):""," {")),o+=a.css,r&&(o+="}"),a.media&&(o+="}"),a.supports&&(o+="}"),(n=a.sourceMap)&&"u">typeof btoa&&(o+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),t.styleTagTransform(o,e,t.options)},remove:function(){var t;null===(t=e).parentNode||t.parentNode.removeChild(t)}}}},41(t){t.exports=function(t,e){if(e.styleSheet)e.styleSheet.cssText=t;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(t))}}}}]);