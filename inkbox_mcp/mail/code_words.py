"""Words that stand beside a code, and words that stand beside other numbers, in the languages of mail."""

import re

CODE = re.compile(
    r"\b(?:pass|access|key|sign-?in|log-?in|security|verification|one-?time|auth|zugangs|sicherheits|bestätigungs|"
    r"bestaetigungs|verifizierungs|einmal|anmelde|login|freischalt|aktivierungs|prüf|verificatie|beveiligings|"
    r"bevestigings|inlog)?-?codes?\b|"
    r"\b(?:otp|tan|pin|mtan|mobiletan|engångslösenord|engångskod|2fa|mfa|totp|passcode|einmal(?:pass|kenn)wort|einmal-?pin|einmal-?passwort)\b|"
    r"\bone[- ]time (?:pass(?:word|code)?|pin|token)|\bverification (?:number|token)|\bsecurity (?:number|token)|"
    r"\bc[óo]digos?\b|\bclave\b|\bcontrase[ñn]a (?:temporal|de un solo uso)|\bcodice\b|\bcodici\b|\bsenha\b|"
    r"\bmot de passe (?:à usage unique|temporaire|provisoire)|\bcode (?:de|d['’])|\beenmalig|\bkod\w*|\bparola\b|"
    r"رمز (?:ال)?(?:تحقق|دخول)|\bкод\w{0,3}\b|\bпароль\b|"
    r"验证码|驗證碼|会议密码|密码(?=[:：])|校验码|动态码|动态密码|口令|安全码|登录码|確認碼|检验码|认证码|"
    r"認証(?:コード|番号|キー)|確認(?:コード|番号)|ワンタイム|パスコード|暗証番号|セキュリティ(?:コード|番号)|"
    r"ログインコード|検証コード|コード|인증\s?번호|인증\s?코드|확인\s?코드|보안\s?코드",
    re.IGNORECASE,
)
"""What names a code."""

PURPOSE = re.compile(
    r"verif|vérif|überprüf|bestätig|confirm|authenti|authentif|sign[- ]?in|log[- ]?in|two[- ]?(?:step|factor)|2fa|"
    r"expire|valid for|gültig|läuft .{0,20}ab|minuten|minutes?\b|minutos|minuti|minuten|approve|device|anmeld|"
    r"einlogg|connexion|connecter|expir|caduca|scad|vence|iniciar sesi|acced|acesso|accesso|entrar|toegang|inlog|"
    r"подтвержд|вход|действител|минут|никому|登录|登入|验证|驗證|分钟|分鐘|有效|认证|ログイン|認証|有効期限|確認|분",
    re.IGNORECASE,
)
"""What codes are for, and how long they are valid."""

ENTER = re.compile(
    r"\benter\b|\btype\b|\bpaste\b|eingeben|geben sie|gib |saisi(?:r|ssez|s)|entrez|tapez|introdu[cz]|ingres[ae]|"
    r"escribe|inserisci|digit[ae]|insira|voer |vul |введите|укажите|输入|輸入|填写|填寫|入力|입력",
    re.IGNORECASE,
)
"""What asks to enter a code."""

PROMOTION = re.compile(
    r"promo|warenkorb|panier|carrello|carrito|carrinho|\bcart\b|saldi\b|discount|coupon|voucher|save \d|% ?off|"
    r"checkout|sale\b|gutschein|rabatt|aktionscode|vorteilscode|einlös|"
    r"remise|réduction|code promo|bon d'achat|descuento|cup[óo]n|oferta|rebajas|sconto|buono|cupom|desconto|"
    r"promo[çc]|"
    r"korting|actiecode|kortingscode|скидк|промокод|купон|优惠|優惠|折扣|促销|クーポン|割引|セール|キャンペーン|할인|쿠폰|"
    r"referral|gift ?card|geschenk|redeem|free shipping|promoción|\d{1,2} ?%(?!\w)",
    re.IGNORECASE,
)
"""What promotions speak of."""

OTHER_NUMBER = re.compile(
    r"order|invoice|tracking|parcel|shipment|booking|reservation|confirmation (?:no|number|nr)|ticket|case\b|"
    r"customer|"
    r"account|member|reference|\bref\b|phone|tel\b|tel[.:]|call us|mobile|fax|zip(?: code)?|postal(?: code)?|"
    r"post ?code|sort ?code|area code|vat\b|"
    r"tax id|iban|bic\b|swift|card ending|ending in|qty|item\b|sku|model|version|build|page|room|flight|gate|"
    r"seat|copyright|©|"
    r"total|amount|invoice|balance|street|suite|floor|p\.?o\.? box|employee|request id|meeting id|\bid\b|"
    r"qr[- ]?code|bar ?code|"
    r"country code|source code|error code|status code|code of conduct|dress code|promo|"
    r"bestell|auftrag|rechnung|sendung|paket|kunden|vertrag|buchung|aktenzeichen|referenz|vorgang|telefon|hotline|"
    r"rufnummer|plz|postleitzahl|konto|ust|steuer|handelsregister|hrb|betrag|summe|straße|strasse|artikel|endet auf|"
    r"endend|commande|facture|suivi|colis|client|contrat|réservation|téléphone|tél|siret|siren|tva|montant|"
    r"référence|dossier|"
    r"rue |code postal|pedido|factura|seguimiento|env[íi]o|cliente|contrato|reserva|tel[ée]fono|referencia|importe|"
    r"calle|c[óo]digo postal|ordine|fattura|spedizione|prenotazione|telefono|riferimento|importo|via |"
    r"partita iva|cap\b|"
    r"fatura|rastre|encomenda|protocolo|cnpj|cep\b|telefone|valor|nota fiscal|bestelling|factuur|zending|klant|"
    r"kvk|btw|"
    r"заказ|сч[её]т|накладн|трек|посылк|телефон|договор|инн\b|огрн|индекс|сумма|бронь|"
    r"订单|訂單|发票|發票|运单|快递|物流|单号|電話|电话|热线|客户|編號|编号|金额|邮编|合同|尾号|工单|"
    r"注文|請求|伝票|追跡|お問い合わせ番号|予約|電話|お客様番号|会員番号|金額|合計|郵便|東京都|住所|〒|受付番号|登録番号|"
    r"주문|송장|전화|고객센터|reply stop|text stop",
    re.IGNORECASE,
)
"""What names numbers that are no codes."""
